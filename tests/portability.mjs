// Compares the logits of onnxruntime-web with those that Python wrote down, for tests/portability.py.
// node tests/portability.mjs FOLDER_WITH_NODE_MODULES FOLDER_OF_CASES

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [modules, folder] = process.argv.slice(2);
const require = createRequire(join(resolve(modules), "package.json"));
const ort = require("onnxruntime-web");
ort.env.wasm.numThreads = 1;

const ROWS = 1000;
let contexts = 0;
const wrong = [];
for (const { model, width, columns, ids, file } of JSON.parse(readFileSync(join(folder, "cases.json"), "utf8"))) {
  const session = await ort.InferenceSession.create(readFileSync(join(folder, `${file}.onnx`)));
  const bytes = (name) => new Uint8Array(readFileSync(join(folder, `${file}.${name}`))).buffer;
  const given = new BigInt64Array(bytes("contexts"));
  const said = new BigInt64Array(bytes("conditions"));
  const expected = new Int32Array(bytes("logits"));
  const count = given.length / width;
  for (let start = 0; start < count; start += ROWS) {
    const rows = Math.min(ROWS, count - start);
    const part = (values, size) => new ort.Tensor("int64", values.slice(start * size, (start + rows) * size), [rows, size]);
    const inputs = columns ? { conditions: part(said, columns) } : {};
    const { logits } = await session.run({ context: part(given, width), ...inputs });
    const same = logits.data.length === rows * ids && logits.data.every((x, i) => x * 256 === expected[start * ids + i]);
    if (!same) wrong.push(`${model}: contexts from ${start} on`);
  }
  contexts += count;
}
const installed = join(resolve(modules), "node_modules", "onnxruntime-web", "package.json");
const { version } = JSON.parse(readFileSync(installed, "utf8"));
console.log(JSON.stringify({ contexts, wrong, version, node: process.version }));
