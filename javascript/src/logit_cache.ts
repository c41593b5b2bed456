/** A cache of logits: most contexts of a thousand names occur again in the next thousand. */

import type { Inputs } from "./arithmetic/base.js";
import type { Program } from "./arithmetic/integers.js";

const BYTES = 2 ** 25;
const FEWEST = 256; // contexts that are remembered at least

/** Return a text that is equal for equal contexts: their ids as UTF-16, without the boundaries before them. */
export function keyOf(context: ArrayLike<number>, from: number, blockSize: number): string {
    let key = "";
    for (let i = from; i < from + blockSize; i++) {
        if (key || context[i]) {
            key += String.fromCharCode(context[i]);
        }
    }
    return key;
}

/** Logits after contexts where the conditions have given values; a full cache is emptied. */
export class LogitCache {
    /** Logits in steps of 1/256, in rows of `ids`. */
    logits: Int32Array;
    private readonly rows = new Map<string, number>();
    private readonly most: number;

    /**
     * @param said - the ids of the conditions' values.
     */
    constructor(
        private readonly program: Program,
        readonly inputs: Inputs,
        private readonly said: readonly number[],
    ) {
        this.most = Math.max(FEWEST, Math.floor(BYTES / (4 * inputs.ids)));
        this.logits = new Int32Array(16 * inputs.ids);
    }

    /**
     * Return where the logits after a context start in {@link logits}.
     *
     * @param context - ids, oldest first, from the place `from` on, padded with boundaries on the left.
     */
    after(context: ArrayLike<number>, from = 0): number {
        const { ids, blockSize } = this.inputs;
        const key = keyOf(context, from, blockSize);
        const known = this.rows.get(key);
        if (known !== undefined) {
            return known;
        }
        if (this.rows.size === this.most) {
            this.rows.clear();
        }
        const row = this.rows.size * ids;
        if (row === this.logits.length) {
            const larger = new Int32Array(Math.min(2 * row, this.most * ids));
            larger.set(this.logits);
            this.logits = larger;
        }
        this.program.run(context, from, this.said, this.logits, row);
        this.rows.set(key, row);
        return row;
    }

    /** Return the logits after the first ids of a name, in steps of 1/256 nat. */
    afterIds(ids: readonly number[]): Int32Array {
        const { blockSize } = this.inputs;
        const row = this.after([...Array(blockSize).fill(0), ...ids], ids.length);
        return this.logits.subarray(row, row + this.inputs.ids);
    }
}
