/** The minified file is small, and the same library. */

import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import * as modules from "sequentia";
import * as minified from "sequentia/sequentia.min.js";
import { folder, golden, seedOf, spelled } from "./data.js";

const MOST_BYTES = 40 * 1024;
const MOST_COMPRESSED = 17 * 1024;
const code = readFileSync(new URL("../dist/sequentia.min.js", import.meta.url));

test("the minified file is small", () => {
    assert.ok(code.length <= MOST_BYTES, `${code.length} bytes`);
    const compressed = gzipSync(code, { level: 9 }).length;
    assert.ok(compressed <= MOST_COMPRESSED, `${compressed} bytes compressed`);
});

test("the minified file exports what the modules do, and evaluates no text", () => {
    assert.deepEqual(Object.keys(minified), Object.keys(modules));
    assert.doesNotMatch(code.toString(), /\beval\b|new Function\b|Function\(/);
});

test("the minified file gives the golden names", async () => {
    const models = new Map();
    for (const { model: name, seed, options, first, names } of golden("names.json").cases) {
        if (name === "names" || "pattern" in options || names === null) {
            continue;
        }
        const model = models.get(name) ?? (await minified.load(folder(name)));
        models.set(name, model);
        const given = { ...spelled(options), seed: seedOf(seed) };
        const found = options.unique ? model.generate(names.length, given) : model.shard(first, names.length, given);
        assert.deepEqual(found, names);
    }
    const [own, other] = [await minified.load(), await modules.load()];
    assert.deepEqual(own.generate(100, { seed: 1 }), other.generate(100, { seed: 1 }));
    assert.throws(() => own.generate(1, { seed: -1 }), { name: "OptionError" });
});

test("the minified file says the same of what is no model", async () => {
    const empty = mkdtempSync(`${tmpdir()}/sequentia-`);
    const broken = mkdtempSync(`${tmpdir()}/sequentia-`);
    cpSync(`${folder("bigram")}/config.json`, `${broken}/config.json`);
    const found = async (load, source) => load(source).then(assert.fail, ({ name, message }) => ({ name, message }));
    for (const source of [empty, broken, new URL(`file://${empty}/`), "no model", {}, [], 3]) {
        assert.deepEqual(await found(minified.load, source), await found(modules.load, source));
    }
});

test("the package holds the bundled model once", () => {
    for (const file of ["config.json", "model.safetensors", "novelty.crc32"]) {
        assert.ok(statSync(new URL(`../dist/models/names/${file}`, import.meta.url)).isFile());
    }
});
