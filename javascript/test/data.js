/** The golden vectors and small models of the repository, and where they are. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = new URL("../../", import.meta.url);
const GOLDEN = new URL("tests/data/golden/", ROOT);

/** Return the cases of a file of golden vectors. */
export function golden(name) {
    return JSON.parse(readFileSync(new URL(name, GOLDEN), "utf8"));
}

/** Return the folder of a model of the golden vectors, or a bundled one. */
export function folder(name) {
    const bundled = ["names", "surnames", "people", "prior"].includes(name);
    return fileURLToPath(bundled ? new URL(`sequentia/models/${name}`, ROOT) : new URL(`models/${name}`, GOLDEN));
}

/** Return the files of a model, by name. */
export function files(name) {
    return Object.fromEntries(
        ["config.json", "model.safetensors", "model.onnx", "novelty.crc32"]
            .map((file) => {
                try {
                    return [file, new Uint8Array(readFileSync(`${folder(name)}/${file}`))];
                } catch {
                    return undefined;
                }
            })
            .filter(Boolean),
    );
}

/** Return a seed of a case. */
export function seedOf(seed) {
    return "text" in seed ? seed.text : BigInt(seed.number);
}

/** Return options in JavaScript's spelling. */
export function spelled(options) {
    const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    return Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));
}
