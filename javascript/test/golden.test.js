import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { GenerationError, load } from "../dist/index.js";
import { keyOf, Uniforms } from "../dist/philox.js";
import { choose, weigh, weightTable } from "../dist/sampling.js";
import { folder, golden, seedOf, spelled } from "./data.js";

const { cases: names } = golden("names.json");
const { cases: logits } = golden("logits.json");
const models = new Map();
for (const name of new Set([...names, ...logits].map((each) => each.model))) {
    models.set(name, await load(folder(name)));
}

test("the uniform numbers of seeds", () => {
    for (const { seed, key, first, names, draws, attempt, uniforms } of golden("uniforms.json").cases) {
        const found = keyOf(seedOf(seed));
        assert.equal(found, BigInt(key));
        const stream = new Uniforms(found, draws);
        for (let i = 0; i < names; i++) {
            stream.start(first + i, attempt);
            const row = Array.from({ length: draws }, (_, draw) => stream.at(draw) * 2 ** 53);
            assert.deepEqual(row, uniforms[i]);
        }
    }
});

test("the weights of symbols, and the draws", () => {
    const { table, cases } = golden("weights.json");
    const words = BigUint64Array.from(weightTable(), BigInt);
    assert.equal(createHash("sha256").update(words).digest("hex"), table.sha256_of_64_bit_little_endian);
    for (const { logits, allowed, temperature, top_k, top_p, weights, cumulative, uniforms, ids } of cases) {
        const found = new Float64Array(logits.length);
        weigh(logits, 0, found, { temperature, topK: top_k, topP: top_p }, allowed);
        assert.deepEqual([...found], weights);
        const sums = Float64Array.from(cumulative);
        const drawn = uniforms.map((uniform) => choose(sums, 0, sums.length, uniform * 2 ** -53));
        assert.deepEqual(drawn, ids);
    }
});

for (const { model: name, contexts, conditions, logits: expected } of logits) {
    test(`the logits of ${name}`, () => {
        const model = models.get(name);
        const values = [...model.config.conditions];
        for (const [row, context] of contexts.entries()) {
            const said = (conditions?.[row] ?? []).map((id, n) => [values[n][0], values[n][1][id - 1]]);
            const where = Object.fromEntries(said.filter(([, value]) => value !== undefined));
            assert.deepEqual([...model.logits(context, { where })], expected[row]);
        }
    });
}

for (const [name, model] of models) {
    test(`the names of ${name}`, () => {
        for (const { model: other, seed, options, first, names: expected } of names) {
            if (other !== name || "pattern" in options) {
                continue;
            }
            const given = { ...spelled(options), seed: seedOf(seed) };
            const draw = (n) =>
                options.unique ? model.generate(first + n, given).slice(first) : model.shard(first, n, given);
            if (expected === null) {
                assert.throws(() => draw(1), GenerationError);
            } else {
                assert.deepEqual(draw(expected.length), expected, JSON.stringify(options));
            }
        }
    });
}
