/** A proof, from a model's tensors, that its network's arithmetic is exact: no number can reach 2^24. */

import { grouped } from "../errors.js";
import { type Arithmetic, type Inputs, LIMIT, type Tensors } from "./base.js";

const MOST_STEPS = 2 ** 28; // for one context, in multiplications
const STEPS_OF_OTHERS = 16; // an addition or a look-up takes about as long as so many multiplications of a matrix
const LARGEST_INDEX = 2 ** 53;

/** Whole numbers between bounds, both included, in rows of `width`. */
interface Interval {
    low: ArrayLike<number>;
    high: ArrayLike<number>;
    width: number;
}

/** Computes with intervals that hold every value a context can lead to; it throws an Error if one is too large. */
export class Bounds implements Arithmetic<Interval> {
    private steps = 0;
    private readonly known = new Map<string, Interval>();
    private readonly seen = new Map<ArrayLike<number>, Map<string, Interval>>();

    constructor(
        private readonly tensors: Tensors,
        private readonly inputs: Inputs,
    ) {}

    tensor(name: string): Interval {
        let found = this.known.get(name);
        if (found === undefined) {
            const { data, shape } = this.tensors.get(name)!;
            found = { low: data, high: data, width: data.length / shape[0] };
            this.check(name, found);
            this.known.set(name, found);
        }
        return found;
    }

    symbol(): Interval {
        return { low: [0], high: [this.inputs.ids - 1], width: 1 };
    }

    condition(column: number): Interval {
        return { low: [0], high: [this.inputs.values[column] - 1], width: 1 };
    }

    lookUp(name: string, table: Interval, rows: Interval): Interval {
        const [first, last] = [least(rows.low), greatest(rows.high)];
        const { width } = table;
        const count = table.low.length / width;
        if (first < 0 || last >= count) {
            throw new Error(`${name}: row ${first} to ${last} of ${count}`);
        }
        this.spend(name, STEPS_OF_OTHERS * rows.low.length * width);
        const row = this.rowBetween(table, first, last);
        if (rows.low.length === 1) {
            return row;
        }
        const { length } = rows.low;
        return { low: Array(length).fill(row.low[0]), high: Array(length).fill(row.high[0]), width: length };
    }

    /** Return the bounds of some rows of a table; a recurrent network looks at the same rows again and again. */
    private rowBetween(table: Interval, first: number, last: number): Interval {
        const key = `${first} ${last}`;
        const known = this.seen.get(table.low) ?? new Map<string, Interval>();
        this.seen.set(table.low, known);
        let found = known.get(key);
        if (found === undefined) {
            const { width } = table;
            const low = new Float64Array(width).fill(Number.POSITIVE_INFINITY);
            const high = new Float64Array(width).fill(Number.NEGATIVE_INFINITY);
            for (let i = first * width; i < (last + 1) * width; i++) {
                low[i % width] = Math.min(low[i % width], table.low[i]);
                high[i % width] = Math.max(high[i % width], table.high[i]);
            }
            found = { low, high, width };
            known.set(key, found);
        }
        return found;
    }

    product(name: string, x: Interval, weight: Interval): Interval {
        // Doubles hold each sum exactly as long as it may be allowed, and a larger one does not look smaller.
        const { low: weights, width } = weight;
        const inputs = weights.length / width;
        this.spend(name, inputs * width);
        const [low, high, sums] = [0, 1, 2].map(() => new Float64Array(width));
        for (let i = 0; i < inputs; i++) {
            const [from, to] = [x.low[i], x.high[i]];
            const largest = Math.max(Math.abs(from), Math.abs(to));
            for (let j = 0; j < width; j++) {
                const each = weights[i * width + j];
                low[j] += each * (each > 0 ? from : to);
                high[j] += each * (each > 0 ? to : from);
                sums[j] += largest * Math.abs(each);
            }
        }
        this.check(name, { low: sums, high: sums, width }); // sums in any order stay below
        return { low, high, width };
    }

    add(name: string, x: Interval, y: Interval): Interval {
        return this.each(name, x, y, (a, b) => a + b, true);
    }

    subtract(name: string, x: Interval, y: Interval): Interval {
        return this.each(name, x, { ...y, low: y.high, high: y.low }, (a, b) => a - b, true);
    }

    multiply(name: string, x: Interval, y: Interval): Interval {
        const corners = [x.low, x.high].flatMap((a) => [y.low, y.high].map((b) => Array.from(a, (each, i) => each * b[i])));
        const low = corners.reduce((a, b) => a.map((each, i) => Math.min(each, b[i])));
        const high = corners.reduce((a, b) => a.map((each, i) => Math.max(each, b[i])));
        return this.checked(name, { low, high, width: x.width });
    }

    maximum(name: string, x: Interval, y: Interval): Interval {
        return this.each(name, x, y, Math.max, false);
    }

    shift(name: string, x: Interval, bits: number): Interval {
        if (bits === 0) {
            return x;
        }
        const half = bits > 0 ? 2 ** (bits - 1) : 0;
        const larger = this.map(x, bits > 0 ? (each) => each + half : (each) => each * 2 ** -bits);
        this.checked(name, larger);
        return bits > 0 ? this.map(larger, (each) => Math.floor(each / 2 ** bits)) : larger;
    }

    clip(_name: string, x: Interval, low: number, high: number): Interval {
        return this.map(x, (each) => Math.min(Math.max(each, low), high));
    }

    numbered(name: string, x: Interval, count: number, y: Interval): Interval {
        const [low, high] = [x.low[0] * count + y.low[0], x.high[0] * count + y.high[0]];
        if (high >= LARGEST_INDEX) {
            throw new Error(`${name}: more than ${grouped(LARGEST_INDEX)} pairs`);
        }
        return { low: [low], high: [high], width: 1 };
    }

    private map(x: Interval, change: (each: number) => number): Interval {
        return { low: Float64Array.from(x.low, change), high: Float64Array.from(x.high, change), width: x.width };
    }

    private each(name: string, x: Interval, y: Interval, join: (a: number, b: number) => number, check: boolean): Interval {
        const low = Float64Array.from(x.low, (each, i) => join(each, y.low[i]));
        const high = Float64Array.from(x.high, (each, i) => join(each, y.high[i]));
        const result = { low, high, width: low.length };
        return check ? this.checked(name, result) : result;
    }

    private checked(name: string, result: Interval): Interval {
        this.spend(name, STEPS_OF_OTHERS * result.low.length);
        this.check(name, result);
        return result;
    }

    private spend(name: string, steps: number): void {
        this.steps += steps;
        if (this.steps > MOST_STEPS) {
            throw new Error(`${name}: a context takes more steps than ${grouped(MOST_STEPS)} multiplications`);
        }
    }

    private check(name: string, x: Interval): void {
        const magnitude = Math.max(Math.abs(least(x.low)), Math.abs(greatest(x.high)));
        if (magnitude >= LIMIT) {
            const limit = grouped(LIMIT);
            throw new Error(`${name} can reach ${grouped(magnitude)}, and only whole numbers below ${limit} are exact`);
        }
    }
}

function least(values: ArrayLike<number>): number {
    let found = Number.POSITIVE_INFINITY;
    for (let i = 0; i < values.length; i++) {
        found = Math.min(found, values[i]);
    }
    return found;
}

function greatest(values: ArrayLike<number>): number {
    let found = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < values.length; i++) {
        found = Math.max(found, values[i]);
    }
    return found;
}
