/** A proof, from a model's tensors, that its network's arithmetic is exact: no number can reach 2^24. */

import { checkMost, fail, show } from "../errors.js";
import { type Arithmetic, type Inputs, LIMIT, scatter, type Tensors } from "./base.js";

const MOST_STEPS = 2 ** 28; // for one context, in multiplications
const STEPS_OF_OTHERS = 16; // an addition or a look-up takes about as long as so many multiplications of a matrix
const LARGEST_INDEX = 2 ** 53 - 1;

type Numbers = Int32Array | Float64Array;

/** Whole numbers between bounds, both included, in rows of `width`. */
interface Interval {
    low: Numbers;
    high: Numbers;
    width: number;
    /** Of a table: the bounds of rows that were looked at, as a recurrent network does again and again. */
    seen?: Map<string, Interval>;
}

/** Computes with intervals that hold every value a context can lead to; it throws an Error if one is too large. */
export class Bounds implements Arithmetic<Interval> {
    private steps = 0;
    private readonly known = new Map<string, Interval>();

    constructor(
        private readonly tensors: Tensors,
        private readonly inputs: Inputs,
    ) {}

    tensor(name: string, ...shape: number[]): Interval {
        let found = this.known.get(name);
        if (!found) {
            const tensor = this.tensors.get(name);
            if (tensor?.shape.join() !== shape.join()) {
                const what = tensor ? `tensor ${show(name)} of shape ${show(tensor.shape)}` : `no tensor ${show(name)}`;
                fail(`${what}, not one of ${show(shape)}`);
            }
            const { data } = tensor;
            found = this.checked(data, data, data.length / shape[0], 0);
            this.known.set(name, found);
        }
        return found;
    }

    /** Check that the network has used all tensors. */
    finish(): void {
        for (const name of this.tensors.keys()) {
            if (!this.known.has(name)) {
                fail(`an unknown tensor ${show(name)}`);
            }
        }
    }

    symbol(): Interval {
        return repeated(0, this.inputs.ids - 1);
    }

    condition(column: number): Interval {
        return repeated(0, this.inputs.values[column] - 1);
    }

    lookUp(table: Interval, rows: Interval): Interval {
        const { low, high, width } = table;
        const [first, last] = [Math.min(...rows.low), Math.max(...rows.high)];
        const count = low.length / width;
        if (first < 0 || last >= count) {
            fail(`row ${first} to ${last} of ${count}`);
        }
        const { length } = rows.low;
        this.spend(STEPS_OF_OTHERS * length * width);
        table.seen ??= new Map<string, Interval>();
        const key = `${first} ${last} ${length}`;
        let found = table.seen.get(key);
        if (!found) {
            found = repeated(LIMIT, -LIMIT, width);
            for (let row = first; row <= last; row++) {
                widen(found, low, high, row * width);
            }
            if (length > 1) {
                found = repeated(found.low[0], found.high[0], length);
            }
            table.seen.set(key, found);
        }
        return found;
    }

    scattered(size: number, { low: gaps }: Interval, { low: values }: Interval): Interval {
        const table = scatter(size, gaps, values);
        return { low: table, high: table, width: 1 };
    }

    product(x: Interval, { low: weights, width }: Interval): Interval {
        // Doubles hold each sum exactly as long as it may be allowed, and a larger one does not look smaller.
        this.spend(weights.length);
        const [low, high, sums] = [0, 1, 2].map(() => new Float64Array(width));
        for (let i = 0; i < x.low.length; i++) {
            const [from, to] = [x.low[i], x.high[i]];
            const largest = Math.max(Math.abs(from), Math.abs(to));
            for (let j = 0; j < width; j++) {
                const weight = weights[i * width + j];
                low[j] += weight * (weight > 0 ? from : to);
                high[j] += weight * (weight > 0 ? to : from);
                sums[j] += largest * Math.abs(weight);
            }
        }
        this.checked(sums, sums, width, 0); // sums in any order stay below
        return { low, high, width };
    }

    add(x: Interval, y: Interval): Interval {
        return this.each(x, y, (a, b) => a + b);
    }

    subtract(x: Interval, y: Interval): Interval {
        return this.each(x, { ...y, low: y.high, high: y.low }, (a, b) => a - b);
    }

    multiply(x: Interval, y: Interval): Interval {
        const corners = (bound: typeof Math.min) => (_: number, i: number) =>
            bound(x.low[i] * y.low[i], x.low[i] * y.high[i], x.high[i] * y.low[i], x.high[i] * y.high[i]);
        return this.checked(Float64Array.from(x.low, corners(Math.min)), Float64Array.from(x.low, corners(Math.max)));
    }

    maximum(x: Interval, y: Interval): Interval {
        return this.each(x, y, Math.max);
    }

    shift(x: Interval, bits: number): Interval {
        if (bits === 0) {
            return x;
        }
        const larger = this.each(x, x, (each) => (bits > 0 ? each + 2 ** (bits - 1) : each * 2 ** -bits));
        return bits > 0 ? map(larger, (each) => Math.floor(each / 2 ** bits)) : larger;
    }

    clip(x: Interval, low: number, high: number): Interval {
        return map(x, (each) => Math.min(Math.max(each, low), high));
    }

    numbered(x: Interval, count: number, y: Interval): Interval {
        const high = x.high[0] * count + y.high[0];
        checkMost("an index of", high, LARGEST_INDEX);
        return repeated(x.low[0] * count + y.low[0], high);
    }

    private each(x: Interval, y: Interval, join: (a: number, b: number) => number): Interval {
        return this.checked(
            Float64Array.from(x.low, (each, i) => join(each, y.low[i])),
            Float64Array.from(x.high, (each, i) => join(each, y.high[i])),
        );
    }

    /** Return an interval that took some steps, if it is allowed. */
    private checked(low: Numbers, high: Numbers, width = low.length, steps = STEPS_OF_OTHERS * low.length): Interval {
        this.spend(steps);
        let largest = 0;
        for (let i = 0; i < low.length; i++) {
            largest = Math.max(largest, -low[i], high[i]);
        }
        if (largest >= LIMIT) {
            fail(`a number can reach ${largest}, which is not exact`);
        }
        return { low, high, width };
    }

    private spend(steps: number): void {
        this.steps += steps;
        checkMost("steps for a context", this.steps, MOST_STEPS);
    }
}

/** Widen an interval to hold those of a row; a function of its own soon runs fast. */
function widen({ low, high, width }: Interval, lows: Numbers, highs: Numbers, at: number): void {
    for (let i = 0; i < width; i++) {
        low[i] = Math.min(low[i], lows[at + i]);
        high[i] = Math.max(high[i], highs[at + i]);
    }
}

/** Return a row of the same bounds; a single number by default. */
function repeated(low: number, high: number, width = 1): Interval {
    return { low: new Float64Array(width).fill(low), high: new Float64Array(width).fill(high), width };
}

function map({ low, high, width }: Interval, change: (each: number) => number): Interval {
    return { low: Float64Array.from(low, change), high: Float64Array.from(high, change), width };
}
