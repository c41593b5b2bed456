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

// Properties that only the package itself uses: neither its interface, nor keys of its files, nor what the platform has.
const INTERNAL = `
    acceptance accepting accepts after allowed artifact attempt attempts automaton bindings blockSize bound chances
    checked clip clipped codeOf combined compute computed condition constant constraint context contexts count counted
    counts data describe draw draws each finish follow guided high ids idsOf inARow index inputs isOfWords joined key
    known lacking lengths links lookahead lookUp low makeRoom markov matrices maximum mayCompose met method methods
    missing most multiply network nodeOf nodes numbered numbers observe own paired plan probabilities product program
    proposal propose reject result room row rows run said sampling scattered seen separator shares shift slotOf slots
    spend start steps subtract sums table take tensor tensors time transitions trivial uniforms unit units unmet
    unrestricted use viable ways weighed weights width
`;

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });

execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "--project", "page"], { stdio: "inherit" });

/** Return one minified file with a module and all that it imports; properties of a pattern get other names. */
async function bundled(entry, format, properties) {
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
        mangle: { properties },
        format: { inline_script: true },
    });
    return code;
}

const internal = { builtins: true, regex: new RegExp(`^(${INTERNAL.trim().split(/\s+/).join("|")})$`) };
writeFileSync("dist/sequentia.min.js", await bundled("src/index.ts", "esm", internal));

const style = (await build({ entryPoints: ["page/page.css"], minify: true, write: false })).outputFiles[0].text.trim();
const program = (await bundled("page/main.ts", "iife", false)).trim();
const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
const parts = { style, "style-hash": hash(style), program, "program-hash": hash(program) };
const page = readFileSync("page/page.html", "utf8").replace(/{{([\w-]+)}}/g, (place, part) => parts[part] ?? place);
writeFileSync("../sequentia/page.html", page);

cpSync("../LICENSE", "LICENSE"); // npm packs it

const model = "../sequentia/models/names";
mkdirSync("dist/models/names", { recursive: true });
for (const file of ["config.json", "model.safetensors", "novelty.crc32"]) {
    cpSync(`${model}/${file}`, `dist/models/names/${file}`);
}
