/** Time the package beside onnxruntime-web (WebAssembly, one thread), in one run: `npm run bench`. */

import { readFileSync } from "node:fs";
import * as ort from "onnxruntime-web";
import { load } from "sequentia";

const SECONDS = Number(process.argv[2] ?? 2);

/** Return the microseconds of processor time that a name takes; `draw` draws some names and returns how many. */
async function timed(draw) {
    let [names, spent] = [0, 0];
    for (let round = 0; spent < SECONDS * 1e6; round++) {
        const start = process.cpuUsage();
        const drawn = await draw(round);
        const { user, system } = process.cpuUsage(start);
        if (round) {
            names += drawn; // the first round compiles
            spent += user + system;
        }
    }
    return spent / names;
}

/** Return what draws names with onnxruntime-web: all of a batch at once, a symbol at a time. */
async function withOnnx(model) {
    ort.env.wasm.numThreads = 1;
    const graph = readFileSync(new URL("../../sequentia/models/names/model.onnx", import.meta.url));
    const session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
    const { block_size: blockSize, max_length: most } = model.config;
    const ids = model.vocabulary.symbols.length + 1;
    return async (count) => {
        let unfinished = Array.from({ length: count }, () => Array(blockSize).fill(0));
        for (let length = 0; unfinished.length && length <= most; length++) {
            const data = BigInt64Array.from(unfinished.flat(), BigInt);
            const context = new ort.Tensor("int64", data, [unfinished.length, blockSize]);
            const { logits } = await session.run({ context });
            unfinished = unfinished.flatMap((context, row) => {
                const weights = Array.from(logits.data.subarray(row * ids, (row + 1) * ids), Math.exp);
                weights[0] *= length ? 1 : 0;
                let point = Math.random() * weights.reduce((a, b) => a + b);
                const id = weights.findIndex((weight) => {
                    point -= weight;
                    return point < 0;
                });
                return id > 0 ? [[...context.slice(1), id]] : [];
            });
        }
        return count;
    };
}

const model = await load();
const fresh = await load();
const onnx = await withOnnx(model);
let seed = 0;
const draw = (count) => model.generate(count, { seed: seed++ }).length;

const SINGLE = 200; // names drawn alone between two looks at the clock
const single = await timed(() => {
    for (let i = 0; i < SINGLE; i++) {
        draw(1);
    }
    return SINGLE;
});
const many = await timed(() => draw(30_000));
const contexts = await timed(() => {
    const context = [0, 0, 0].map(() => 1 + Math.floor(Math.random() * 26));
    for (let i = 0; i < 1000; i++) {
        fresh.logits([1 + (i % 26), ...context, 1 + Math.floor(Math.random() * 26), 1 + ((i * 7) % 26)]);
    }
    return 1000;
});
const onnxSingle = await timed(async () => {
    for (let i = 0; i < SINGLE; i++) {
        await onnx(1);
    }
    return SINGLE;
});
const onnxMany = await timed(() => onnx(1000));

const shown = (microseconds) => `${microseconds.toFixed(1).padStart(8)} µs`;
console.log(`${process.version}, ${process.arch}, one thread, processor time`);
console.log(`a context that is not remembered   ${shown(contexts)}`);
for (const [what, ours, theirs] of [
    ["a name, drawn alone", single, onnxSingle],
    ["a name of many", many, onnxMany],
]) {
    const ratio = (theirs / ours).toFixed(0);
    console.log(`${what.padEnd(34)} ${shown(ours)}   onnxruntime-web ${shown(theirs)}   ${ratio} times`);
}
console.log(
    `names a second                     ${Math.round(1e6 / many)
        .toLocaleString("en")
        .padStart(8)}`,
);
