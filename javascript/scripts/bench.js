/**
 * Time the package beside onnxruntime-web (WebAssembly, one thread), and in Chromium, in one run: `npm run bench`.
 *
 * With onnxruntime-web, all names of a batch are drawn a symbol at a time, as its users would: one run for all contexts,
 * a softmax and a draw. Each measurement first runs for as long as it is measured, so that all is compiled, and contexts
 * are remembered as in a program that has run for a while.
 */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-web";
import { load } from "sequentia";
import { launch, serve } from "../test/browser.js";

const SECONDS = Number(process.argv[2] ?? 2);
const MANY = 30_000;
const BATCH = 1000; // names at a time with onnxruntime-web
const SINGLE = 200; // names drawn alone between two looks at the clock

/** Return the microseconds of processor time that a name takes; `draw` draws some names and returns how many. */
async function timed(draw) {
    const [half, whole] = [SECONDS * 1e6, 2 * SECONDS * 1e6];
    let [names, spent, measured] = [0, 0, 0];
    while (spent < whole) {
        const start = process.cpuUsage();
        const drawn = await draw();
        const { user, system } = process.cpuUsage(start);
        if (spent >= half) {
            names += drawn;
            measured += user + system;
        }
        spent += user + system;
    }
    return measured / names;
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

/** Return the microseconds that a name takes in Chromium, alone and of many, by the clock. */
async function inChromium() {
    const browser = await launch();
    const { address, close } = await serve(fileURLToPath(new URL("..", import.meta.url)));
    const page = await browser.newPage();
    await page.goto(`${address}/examples/page.html`);
    const found = await page.evaluate(
        async ({ seconds, many }) => {
            const { load } = await import("/dist/sequentia.min.js");
            const model = await load();
            let seed = 0;
            const timed = (draw) => {
                let [names, start] = [0, performance.now()];
                for (const _ of ["to get warm", "to measure"]) {
                    [names, start] = [0, performance.now()];
                    while (performance.now() - start < seconds * 1000) {
                        names += draw();
                    }
                }
                return ((performance.now() - start) * 1000) / names;
            };
            const single = () => model.generate(1, { seed: seed++ }).length;
            return [timed(single), timed(() => model.generate(many, { seed: seed++ }).length)];
        },
        { seconds: SECONDS, many: MANY },
    );
    await browser.close();
    close();
    return found;
}

const start = process.cpuUsage();
const model = await load();
const { user, system } = process.cpuUsage(start);
const fresh = await load();
const onnx = await withOnnx(model);
let seed = 0;
const draw = (count) => model.generate(count, { seed: seed++ }).length;

const contexts = await timed(() => {
    const context = Array.from({ length: fresh.config.block_size - 3 }, () => 1 + Math.floor(Math.random() * 26));
    for (let i = 0; i < 1000; i++) {
        fresh.logits([1 + (i % 26), ...context, 1 + Math.floor(Math.random() * 26), 1 + ((i * 7) % 26)]);
    }
    return 1000;
});
const single = await timed(() => {
    for (let i = 0; i < SINGLE; i++) {
        draw(1);
    }
    return SINGLE;
});
const onnxSingle = await timed(async () => {
    for (let i = 0; i < SINGLE; i++) {
        await onnx(1);
    }
    return SINGLE;
});
const many = await timed(() => draw(MANY));
const onnxMany = await timed(() => onnx(BATCH));
const [browserSingle, browserMany] = await inChromium();

const shown = (microseconds) => `${microseconds.toFixed(1).padStart(8)} µs`;
const line = (what, ...others) => console.log([what.padEnd(34), ...others].join(" "));
const beside = (ours, theirs) => [
    shown(ours),
    `  onnxruntime-web ${shown(theirs)}`,
    `  ${(theirs / ours).toFixed(1)} times`,
];
const aSecond = (microseconds) =>
    Math.round(1e6 / microseconds)
        .toLocaleString("en")
        .padStart(8);
line(`Node ${process.version}, ${process.arch}, one thread, processor time`);
line("loading the model", shown(user + system));
line("a context that is not remembered", shown(contexts));
line("a name, drawn alone", ...beside(single, onnxSingle));
line(`a name of ${MANY.toLocaleString("en")}`, ...beside(many, onnxMany));
line("names a second", aSecond(many));
line("Chromium, by the clock");
line("a name, drawn alone", shown(browserSingle));
line(`a name of ${MANY.toLocaleString("en")}`, shown(browserMany));
line("names a second", aSecond(browserMany));
