/** The tensors of `model.safetensors`, which are whole numbers. */

import type { Shapes } from "./architectures/index.js";
import type { Tensors } from "./arithmetic/base.js";
import { show } from "./errors.js";
import { parseJson } from "./json.js";
import { dict, int, list, record, refuse, text } from "./schema.js";

const BYTES: Record<string, number> = { I8: 1, I16: 2, I32: 4 };
const LONGEST_HEADER = 1 << 20;

interface Header {
    dtype: string;
    shape: number[];
    data_offsets: number[];
}

const header = record<Header>({ dtype: text(), shape: list(int()), data_offsets: list(int(0), 2, 2) });

/**
 * Return the tensors in a safetensors file (https://github.com/huggingface/safetensors#format).
 *
 * @param data - the contents of the file.
 * @param shapes - the expected shape of each tensor, by name.
 * @throws Error if the header does not describe each byte after it exactly once, or the tensors are others.
 */
export function readTensors(data: Uint8Array, shapes: Shapes): Tensors {
    const [headers, numbers] = split(data);
    for (const name of [...new Set([...headers.keys(), ...shapes.keys()])].sort()) {
        const [found, expected] = [headers.get(name)?.shape, shapes.get(name)];
        if (found === undefined) {
            throw new Error(`no tensor ${show(name)}`);
        }
        if (expected === undefined) {
            throw new Error(`an unknown tensor ${show(name)}`);
        }
        if (found.join() !== expected.join()) {
            throw new Error(`tensor ${show(name)} of shape (${found.join(", ")}), not (${expected.join(", ")})`);
        }
    }
    const tensors: Tensors = new Map();
    let place = 0;
    const inOrder = [...headers].sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0] || a.data_offsets[1] - b.data_offsets[1]);
    for (const [name, { dtype, shape, data_offsets }] of inOrder) {
        const [start, end] = data_offsets;
        const bytes = Object.hasOwn(BYTES, dtype) ? BYTES[dtype] : 0;
        if (!bytes) {
            throw new Error(`tensor ${show(name)} of dtype ${dtype}, not one of ${Object.keys(BYTES).join(", ")}`);
        }
        if (start !== place || end > numbers.byteLength || end - start !== bytes * shape.reduce((a, b) => a * b, 1)) {
            throw new Error(`a header that contradicts the bytes of tensor ${show(name)}`);
        }
        tensors.set(name, { data: widened(numbers, start, end, bytes), shape });
        place = end;
    }
    if (place !== numbers.byteLength) {
        throw new Error(`a header that contradicts the bytes after ${place}`);
    }
    return tensors;
}

/** Return some numbers of one, two or four bytes, little-endian, in 32 bits: one type of array is fastest. */
function widened(view: DataView, start: number, end: number, bytes: number): Int32Array {
    const numbers = new Int32Array((end - start) / bytes);
    for (let i = 0; i < numbers.length; i++) {
        const at = start + i * bytes;
        numbers[i] = bytes === 1 ? view.getInt8(at) : bytes === 2 ? view.getInt16(at, true) : view.getInt32(at, true);
    }
    return numbers;
}

/** Return the header of each tensor in a safetensors file, by name, and the bytes after the header. */
function split(data: Uint8Array): [Map<string, Header>, DataView] {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const length = data.length < 8 ? 0 : view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
    if (data.length < 8 || length > Math.min(data.length - 8, LONGEST_HEADER)) {
        throw new Error(`a damaged header (of ${length} bytes)`);
    }
    let headers: Map<string, Header>;
    try {
        const json = parseJson(data.subarray(8, 8 + length));
        if (json instanceof Map) {
            const notes = json.get("__metadata__");
            if (notes !== undefined) {
                dict(text())(notes, "$.__metadata__");
                json.delete("__metadata__");
            }
        }
        headers = json instanceof Map ? dict(header)(json, "$") : refuse("Expected `object`", "$");
    } catch (error) {
        throw new Error(`a damaged header (${(error as Error).message})`);
    }
    return [headers, new DataView(data.buffer, data.byteOffset + 8 + length, data.byteLength - 8 - length)];
}
