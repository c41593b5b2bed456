/**
 * Build the package: types and modules by tsc, one minified file by esbuild and terser, and the bundled model. Also write
 * the page that `sequentia page` puts a model into.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });

execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "--project", "page"], { stdio: "inherit" });

/** Return one minified file with a module and all that it imports. */
async function bundled(entry, format) {
    const bundle = await build({
        entryPoints: [entry],
        bundle: true,
        format,
        target: "es2022",
        minify: true,
        legalComments: "none",
        write: false,
    });
    const { code } = await minify(bundle.outputFiles[0].text, {
        module: format === "esm",
        compress: { ecma: 2022, passes: 3, unsafe_arrows: true, keep_fargs: false },
        format: { inline_script: true },
    });
    return code;
}

writeFileSync("dist/sequentia.min.js", await bundled("src/index.ts", "esm"));

const style = (await build({ entryPoints: ["page/page.css"], minify: true, write: false })).outputFiles[0].text.trim();
const program = (await bundled("page/main.ts", "iife")).trim();
const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const parts = { style, "style-hash": hash(style), program, "program-hash": hash(program) };
const page = readFileSync("page/page.html", "utf8").replace(/{{([\w-]+)}}/g, (place, part) => parts[part] ?? place);
writeFileSync("../sequentia/page.html", page);

const model = "../sequentia/models/names";
mkdirSync("dist/models/names", { recursive: true });
for (const file of ["config.json", "model.safetensors", "novelty.crc32"]) {
    cpSync(`${model}/${file}`, `dist/models/names/${file}`);
}
