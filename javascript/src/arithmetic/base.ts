/**
 * The operations that a network may consist of: whole numbers in, whole numbers out.
 *
 * An architecture states its network once, as a function of an {@link Arithmetic}. What comes out depends on which one:
 * a proof that the tensors are those of the network and that no sum can reach 2^24 (`bounds.ts`), or a program that
 * computes logits (`integers.ts`).
 */

import { fail } from "../errors.js";

/** Whole numbers below it, and their sums if those stay below it too, are exact in every runtime. */
export const LIMIT = 2 ** 24;

/** Logits are in steps of 2^-bits nats: of 1/256. */
export const LOGIT_BITS = 8;

/** The tensors of `model.safetensors`. */
export interface Tensor {
    data: Int32Array;
    shape: number[];
}

/** The tensors of a model, by name. */
export type Tensors = Map<string, Tensor>;

/** What a network reads for each prediction. */
export interface Inputs {
    /** Symbols in a context. */
    blockSize: number;
    /** How many ids a symbol may have, the boundary included. */
    ids: number;
    /** How many ids each condition's value may have, 0 for "not said" included. */
    values: number[];
}

/** Operations on values of some type: tensors, vectors of numbers, and indexes. */
export interface Arithmetic<V> {
    /** Return a tensor of `model.safetensors`, which must have this shape. */
    tensor(name: string, ...shape: number[]): V;
    /** Return the id at one place of the context, counted from the oldest. */
    symbol(place: number): V;
    /** Return the id of one condition's value, 0 where it is not said. */
    condition(column: number): V;
    /** Return a row of a table by its index; of a table of single numbers, one number for each index. */
    lookUp(table: V, rows: V): V;
    /** Return a table of `size` numbers, 0 but for some values, each so many places behind the one before it. */
    scattered(size: number, gaps: V, values: V): V;
    /** Return the product of a vector and a matrix, a tensor [inputs, outputs]. */
    product(x: V, weight: V): V;
    /** Return the sum of two vectors. */
    add(x: V, y: V): V;
    /** Return the difference of two vectors. */
    subtract(x: V, y: V): V;
    /** Return the product of two vectors, number by number. */
    multiply(x: V, y: V): V;
    /** Return the greater of two vectors, number by number. */
    maximum(x: V, y: V): V;
    /** Return numbers divided by 2^bits and rounded, halves upwards: floor(x / 2^bits + 1/2). */
    shift(x: V, bits: number): V;
    /** Return numbers no lower than one bound and no higher than another. */
    clip(x: V, low: number, high: number): V;
    /** Return the index `x * count + y`. */
    numbered(x: V, count: number, y: V): V;
}

/** Return a table of zeros and some values. */
export function scatter(size: number, gaps: ArrayLike<number>, values: ArrayLike<number>): Int32Array {
    const table = new Int32Array(size);
    let place = 0;
    for (let i = 0; i < gaps.length; i++) {
        place += gaps[i] < (i && 1) ? size : gaps[i];
        table[place] = values[i];
    }
    if (place >= size) {
        fail("gaps beyond a table");
    }
    return table;
}
