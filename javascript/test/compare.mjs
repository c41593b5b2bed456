/**
 * Draw names for `tests/test_javascript.py`: reads a list of cases as JSON from the standard input, each with the
 * folder of a `model`, a `seed`, `options` in Python's spelling and the number `n` of names, and writes a list of what
 * they give: `names`, or the name of an `error` and its `message`.
 */

import { readFileSync } from "node:fs";
import { load } from "sequentia";
import { seedOf, spelled } from "./data.js";

const models = new Map();
const results = [];
for (const { model: folder, seed, options, n } of JSON.parse(readFileSync(0, "utf8"))) {
    const model = models.get(folder) ?? (await load(folder));
    models.set(folder, model);
    try {
        results.push({ names: model.generate(n, { ...spelled(options), seed: seedOf(seed) }) });
    } catch (error) {
        results.push({ error: error.name, message: error.message });
    }
}
process.stdout.write(JSON.stringify(results));
