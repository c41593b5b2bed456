/** The tensors of `model.safetensors`, which are whole numbers. */

import type { Tensors } from "./arithmetic/base.js";
import { fail, show } from "./errors.js";
import { parseJson } from "./json.js";
import { any, dict, int, list, oneOf, record } from "./schema.js";

const TYPES = { I8: Int8Array, I16: Int16Array, I32: Int32Array };
const LONGEST_HEADER = 1 << 20;

const header = record({
    dtype: oneOf("I8", "I16", "I32"),
    shape: list(int(1), 1),
    data_offsets: list(int(0), 2, 2),
});

/**
 * Return the tensors in a safetensors file (https://github.com/huggingface/safetensors#format).
 *
 * @throws Error if the header does not describe each byte after it exactly once.
 */
export function readTensors(data: Uint8Array): Tensors {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const room = Math.min(data.length - 8, LONGEST_HEADER);
    const length = room < 0 ? 0 : Number(view.getBigUint64(0, true));
    if (length > room) {
        fail(`a damaged header (of ${length} bytes)`);
    }
    const entries = dict(any)(parseJson(data.subarray(8, 8 + length)), "$");
    entries.delete("__metadata__");
    const headers = [...dict(header)(new Map(entries), "$")];
    headers.sort(([, { data_offsets: a }], [, { data_offsets: b }]) => a[0] - b[0] || a[1] - b[1]);
    const tensors: Tensors = new Map();
    let place = 8 + length;
    for (const [name, { dtype, shape, data_offsets }] of headers) {
        const [start, end] = data_offsets.map((offset) => offset + 8 + length);
        const Numbers = TYPES[dtype];
        const size = shape.reduce((a, b) => a * b, Numbers.BYTES_PER_ELEMENT);
        if (start !== place || end > data.length || end - start !== size) {
            fail(`a header that contradicts the bytes of tensor ${show(name)}`);
        }
        place = end;
        // One type of array is fastest. On a machine whose bytes are in the other order, the proof of the bounds fails.
        const numbers = new Int32Array(new Numbers(data.slice(start, end).buffer));
        tensors.set(name, { data: numbers, shape });
    }
    if (place !== data.length) {
        fail(`a header that contradicts the bytes after ${place}`);
    }
    return tensors;
}
