/** Build the package: types and modules by tsc, one minified file by esbuild and terser, and the bundled model. */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { minify } from "terser";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });

const bundle = await build({
    entryPoints: ["src/index.ts"],
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    write: false,
});
const { code } = await minify(bundle.outputFiles[0].text, {
    module: true,
    compress: { ecma: 2022, passes: 3, unsafe_arrows: true, keep_fargs: false },
});
writeFileSync("dist/sequentia.min.js", code);

const model = "../sequentia/models/names";
mkdirSync("dist/models/names", { recursive: true });
for (const file of ["config.json", "model.safetensors", "novelty.crc32"]) {
    cpSync(`${model}/${file}`, `dist/models/names/${file}`);
}
