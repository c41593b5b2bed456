/** model.onnx in onnxruntime-web gives the same logits as the package. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { Model } from "sequentia";
import { files } from "./data.js";

const CONTEXTS = 100_000;
const BATCH = 1000;
const MODELS = {
    names: 70_000,
    people: 6_000,
    surnames: 4_000,
    prior: 4_000,
    gru: 4_000,
    "gru-where": 4_000,
    words: 4_000,
    "mlp-skip": 4_000,
};

ort.env.wasm.numThreads = 1;

test("as many contexts as promised", () => {
    assert.equal(
        Object.values(MODELS).reduce((a, b) => a + b),
        CONTEXTS,
    );
});

for (const [name, count] of Object.entries(MODELS)) {
    test(`the logits of ${name} after ${count} contexts`, async () => {
        const given = files(name);
        const model = Model.from(given);
        const session = await ort.InferenceSession.create(given["model.onnx"], { executionProviders: ["wasm"] });
        const { block_size: blockSize, conditions } = model.config;
        const ids = model.vocabulary.symbols.length + 1;
        const values = [...conditions];
        let state = 1;
        const next = (limit) => {
            state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
            return Math.floor((state / 2 ** 32) * limit);
        };
        for (let first = 0; first < count; first += BATCH) {
            const said = values.map(([, each]) => next(each.length + 1));
            const where = Object.fromEntries(
                values.map(([key, each], i) => [key, each[said[i] - 1]]).filter(([, value]) => value !== undefined),
            );
            const contexts = Array.from({ length: BATCH }, () => {
                const length = next(blockSize + 1);
                return Array.from({ length: blockSize }, (_, i) => (i < blockSize - length ? 0 : 1 + next(ids - 1)));
            });
            const tensor = (rows, width) =>
                new ort.Tensor("int64", BigInt64Array.from(rows.flat(), BigInt), [BATCH, width]);
            const inputs = { context: tensor(contexts, blockSize) };
            if (values.length) {
                inputs.conditions = tensor(Array(BATCH).fill(said), values.length);
            }
            const { data } = (await session.run(inputs)).logits;
            for (const [row, context] of contexts.entries()) {
                const found = model.logits(context, { where });
                for (let id = 0; id < ids; id++) {
                    if (found[id] !== data[row * ids + id] * 256) {
                        assert.fail(`id ${id} after ${context}: ${found[id]}, not ${data[row * ids + id] * 256}`);
                    }
                }
            }
        }
    });
}
