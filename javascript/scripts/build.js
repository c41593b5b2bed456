/** Build the package: types and modules by tsc, one minified file by esbuild, and the bundled model. */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc"], { stdio: "inherit" });
await build({
    entryPoints: ["src/index.ts"],
    outfile: "dist/sequentia.min.js",
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
});
const model = "../sequentia/models/names";
mkdirSync("dist/models/names", { recursive: true });
for (const file of ["config.json", "model.safetensors", "novelty.crc32"]) {
    cpSync(`${model}/${file}`, `dist/models/names/${file}`);
}
