/** The minified file gives golden names of every kind of model in a browser too, from models at an address. */

import assert from "node:assert/strict";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch, serve } from "./browser.js";
import { golden, seedOf, spelled } from "./data.js";

const browser = await launch();
const { address, close } = await serve(fileURLToPath(new URL("../..", import.meta.url)));
after(() => browser.close());
after(close);

/** Draw names in the page; a seed is a text there if it was one, and a big integer else. */
async function drawn({ script, cases }) {
    const { load } = await import(script);
    const models = {};
    const results = [];
    for (const { folder, options, first, count } of cases) {
        models[folder] ??= await load(new URL(folder, location.href));
        const model = models[folder];
        try {
            const names = options.unique
                ? model.generate(first + count, options).slice(first)
                : model.shard(first, count, options);
            results.push(names);
        } catch (error) {
            results.push(error.name);
        }
    }
    return results;
}

test("the golden names in Chromium", async () => {
    const page = await browser.newPage();
    await page.goto(`${address}/javascript/examples/page.html`);
    const all = golden("names.json").cases.filter(({ options }) => !("pattern" in options));
    const cases = all.filter((_, i) => i % 3 === 0); // the others are left to Node, which `size.test.js` tests with
    const given = cases.map(({ model, seed, options, first, names }) => ({
        folder: model === "names" ? "/sequentia/models/names" : `/tests/data/golden/models/${model}`,
        options: { ...spelled(options), seed: seedOf(seed) },
        first,
        count: names?.length ?? 1,
    }));
    const found = await page.evaluate(drawn, { script: "/javascript/dist/sequentia.min.js", cases: given });
    assert.equal(new Set(cases.map(({ model }) => model)).size, new Set(all.map(({ model }) => model)).size);
    for (const [i, { names }] of cases.entries()) {
        assert.deepEqual(
            found[i],
            names ?? "GenerationError",
            JSON.stringify(given[i].options, (_, x) => `${x}`),
        );
    }
});
