/** A network as a program: steps that compute the logits after one context, in whole numbers of 32 bits. */

import type { Arithmetic, Inputs, Tensors } from "./base.js";

/** Numbers of a network: `length` of them, from the place `at` of some data on, in rows of `width`. */
interface Numbers {
    data: Int32Array;
    at: number;
    length: number;
    width: number;
}

/** Computes the logits after a context, in steps of 1/256 nat, by steps that write into numbers of their own. */
export class Program implements Arithmetic<Numbers> {
    private readonly steps: (() => void)[] = [];
    private readonly context: Int32Array;
    private readonly said: Int32Array;
    private readonly result: Numbers;

    /**
     * @param network - states the network, whose bounds must be proven.
     */
    constructor(
        private readonly tensors: Tensors,
        inputs: Inputs,
        network: <V>(arithmetic: Arithmetic<V>) => V,
    ) {
        this.context = new Int32Array(inputs.blockSize);
        this.said = new Int32Array(inputs.values.length);
        this.result = network<Numbers>(this);
    }

    /**
     * Write the logits after a context into `to`, from the place `at` on.
     *
     * @param context - the ids, oldest first, padded with boundaries.
     * @param said - the ids of the conditions' values.
     */
    run(context: ArrayLike<number>, said: ArrayLike<number>, to: Int32Array, at: number): void {
        this.context.set(context);
        this.said.set(said);
        for (const step of this.steps) {
            step();
        }
        const { data, at: start, length } = this.result;
        to.set(data.subarray(start, start + length), at);
    }

    tensor(name: string): Numbers {
        const { data, shape } = this.tensors.get(name)!;
        return { data, at: 0, length: data.length, width: data.length / shape[0] };
    }

    symbol(place: number): Numbers {
        return { data: this.context, at: place, length: 1, width: 1 };
    }

    condition(column: number): Numbers {
        return { data: this.said, at: column, length: 1, width: 1 };
    }

    lookUp(table: Numbers, rows: Numbers): Numbers {
        if (rows.length === 1) {
            const { width } = table;
            const row = { data: table.data, at: 0, length: width, width };
            this.steps.push(() => {
                row.at = rows.data[rows.at] * width;
            });
            return row;
        }
        return this.step(rows.length, (to) => {
            const { data: table_ } = table;
            const { data, at } = rows;
            for (let i = 0; i < to.length; i++) {
                to[i] = table_[data[at + i]];
            }
        });
    }

    product(x: Numbers, weight: Numbers): Numbers {
        const { data: weights, width } = weight;
        const rows = new Int32Array(x.length + 4);
        const units = new Int32Array(x.length + 4);
        return this.step(width, (sums) => {
            const { data, at, length } = x;
            let used = 0;
            for (let i = 0; i < length; i++) {
                const unit = data[at + i];
                rows[used] = i * width;
                units[used] = unit;
                used += (unit | -unit) >>> 31; // units that are 0 add nothing; a branch would be slow
            }
            units.fill(0, used);
            sums.fill(0);
            for (let i = 0; i < used; i += 4) {
                // Four rows at a time: destructuring would be slow.
                const row0 = rows[i];
                const row1 = rows[i + 1];
                const row2 = rows[i + 2];
                const row3 = rows[i + 3];
                const unit0 = units[i];
                const unit1 = units[i + 1];
                const unit2 = units[i + 2];
                const unit3 = units[i + 3];
                for (let j = 0; j < width; j++) {
                    sums[j] +=
                        Math.imul(unit0, weights[row0 + j]) +
                        Math.imul(unit1, weights[row1 + j]) +
                        Math.imul(unit2, weights[row2 + j]) +
                        Math.imul(unit3, weights[row3 + j]);
                }
            }
        });
    }

    add(x: Numbers, y: Numbers): Numbers {
        return this.step(x.length, (to) => {
            const { data: xs, at: from } = x;
            const { data: ys, at: other } = y;
            for (let i = 0; i < to.length; i++) {
                to[i] = xs[from + i] + ys[other + i];
            }
        });
    }

    subtract(x: Numbers, y: Numbers): Numbers {
        return this.each(x, y, (a, b) => a - b);
    }

    multiply(x: Numbers, y: Numbers): Numbers {
        return this.each(x, y, Math.imul);
    }

    maximum(x: Numbers, y: Numbers): Numbers {
        return this.each(x, y, Math.max);
    }

    shift(x: Numbers, bits: number): Numbers {
        if (bits === 0) {
            return x;
        }
        const [right, left] = [Math.max(bits, 0), Math.max(-bits, 0)];
        const half = (1 << right) >> 1;
        return this.step(x.length, (to) => {
            const { data, at } = x;
            for (let i = 0; i < to.length; i++) {
                to[i] = ((data[at + i] + half) >> right) << left;
            }
        });
    }

    clip(x: Numbers, low: number, high: number): Numbers {
        return this.step(x.length, (to) => {
            const { data, at } = x;
            for (let i = 0; i < to.length; i++) {
                const above = data[at + i] - low;
                const value = low + (above & ~(above >> 31)); // the greater one; a branch would be slow
                to[i] = Math.min(value, high);
            }
        });
    }

    numbered(x: Numbers, count: number, y: Numbers): Numbers {
        return this.step(1, (to) => {
            to[0] = x.data[x.at] * count + y.data[y.at];
        });
    }

    private each(x: Numbers, y: Numbers, join: (a: number, b: number) => number): Numbers {
        return this.step(x.length, (to) => {
            for (let i = 0; i < to.length; i++) {
                to[i] = join(x.data[x.at + i], y.data[y.at + i]);
            }
        });
    }

    private step(length: number, compute: (to: Int32Array) => void): Numbers {
        const data = new Int32Array(length);
        this.steps.push(() => compute(data));
        return { data, at: 0, length, width: length };
    }
}
