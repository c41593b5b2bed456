/**
 * A network as a program: steps that compute the logits after one context, in whole numbers.
 *
 * What takes time is adding rows of tables, and multiplying by matrices. Both work on two columns at once, in one number:
 * `x + UNIT * y` for two whole numbers that are much smaller than UNIT. Loops are functions of their own, without
 * branches and destructuring, because engines make these quick.
 */

import { type Arithmetic, type Inputs, LIMIT, type Tensors } from "./base.js";

const UNIT = 2 ** 26; // of two numbers below 2^24 in a double
const SMALL_UNIT = 2 ** 16; // of two numbers below 2^15 in an integer of 32 bits
const MOST_PAIRS = 2 ** 19; // numbers in a table for pairs of indexes

/** Numbers of a network: `length` of them, from the place `at` of some data on, in rows of `width`. */
interface Numbers {
    data: Int32Array;
    at: number;
    length: number;
    width: number;
    /** How they are computed, and from what; else they are given. */
    compute?: () => void;
    from?: readonly Numbers[];
    /** The rows that they are the sum of, if they are one. */
    rows?: readonly Row[];
    /** What they were clipped from, if they were. */
    clipped?: { x: Numbers; low: number; high: number };
}

/** One of the `count` rows of a table. */
interface Row {
    table: Int32Array;
    count: number;
    index: Numbers;
}

/** Computes the logits after a context, in steps of 1/256 nat, by steps that write into numbers of their own. */
export class Program implements Arithmetic<Numbers> {
    private readonly steps = new Set<() => void>();
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
        const plan = ({ from, compute }: Numbers): void => {
            if (compute && !this.steps.has(compute)) {
                from!.forEach(plan);
                this.steps.add(compute);
            }
        };
        plan(this.result);
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

    lookUp({ data: table, length, width }: Numbers, rows: Numbers): Numbers {
        if (rows.length === 1) {
            return sumOf([{ table, count: length / width, index: rows }], width);
        }
        return each([rows], (row) => table[row]);
    }

    product(x: Numbers, { data: weights, width }: Numbers): Numbers {
        const pairs = paired(weights, width, UNIT, Float64Array);
        const sums = new Float64Array(Math.ceil(width / 2));
        const units = new Int32Array(x.length + 4);
        const places = new Int32Array(x.length + 4);
        const { x: from, low, high } = x.clipped ?? { x, low: -LIMIT, high: LIMIT };
        return computed(width, [from], (to) => {
            const used = gather(from, low, high, units, places);
            sums.fill(0);
            addProducts(sums, pairs, units, places, used);
            for (let j = 0; j < sums.length; j++) {
                const above = Math.floor(sums[j] / UNIT + 0.5);
                to[j] = sums[j] - above * UNIT;
                to[j + sums.length] = above; // for an odd width, the last one has no place
            }
        });
    }

    add(x: Numbers, y: Numbers): Numbers {
        if (x.rows && y.rows) {
            return sumOf(joined(x.rows, y.rows, x.length), x.length);
        }
        return computed(x.length, [x, y], (to) => {
            const { data: xs, at: from } = x;
            const { data: ys, at: other } = y;
            for (let i = 0; i < to.length; i++) {
                to[i] = xs[from + i] + ys[other + i];
            }
        });
    }

    subtract(x: Numbers, y: Numbers): Numbers {
        return each([x, y], (a, b) => a - b);
    }

    multiply(x: Numbers, y: Numbers): Numbers {
        return each([x, y], Math.imul);
    }

    maximum(x: Numbers, y: Numbers): Numbers {
        return each([x, y], Math.max);
    }

    shift(x: Numbers, bits: number): Numbers {
        const [right, left] = [Math.max(bits, 0), Math.max(-bits, 0)];
        const half = (1 << right) >> 1;
        const shifted = (to: Int32Array): void => {
            const { data, at } = x;
            for (let i = 0; i < to.length; i++) {
                to[i] = ((data[at + i] + half) >> right) << left;
            }
        };
        return bits ? computed(x.length, [x], shifted) : x;
    }

    clip(x: Numbers, low: number, high: number): Numbers {
        return { ...each([x], (value) => clip(value, low, high)), clipped: { x, low, high } };
    }

    numbered(x: Numbers, count: number, y: Numbers): Numbers {
        return each([x, y], (a, b) => a * count + b);
    }
}

/** Return numbers that a step computes. */
function computed(length: number, from: readonly Numbers[], write: (to: Int32Array) => void): Numbers {
    const data = new Int32Array(length);
    return { data, at: 0, length, width: length, from, compute: () => write(data) };
}

/** Return what a function makes of each number, or of each two. */
function each(from: readonly Numbers[], make: (x: number, y: number) => number): Numbers {
    const [x, y = x] = from;
    return computed(x.length, from, (to) => {
        for (let i = 0; i < to.length; i++) {
            to[i] = make(x.data[x.at + i], y.data[y.at + i]);
        }
    });
}

function clip(value: number, low: number, high: number): number {
    const above = value - low;
    return Math.min(low + (above & ~(above >> 31)), high); // `Math.max` would branch
}

/** Return a table with two columns in each number: the first half of the columns, and `unit` times the others. */
function paired<T extends Int32Array | Float64Array>(
    table: Int32Array,
    width: number,
    unit: number,
    Type: new (length: number) => T,
): T {
    const half = Math.ceil(width / 2);
    const pairs = new Type((table.length / width) * half);
    for (let i = 0; i < table.length; i++) {
        const column = i % width;
        pairs[Math.floor(i / width) * half + (column % half)] += table[i] * (column < half ? 1 : unit);
    }
    return pairs;
}

/** Return the sum of rows. */
function sumOf(rows: readonly Row[], width: number): Numbers {
    const from = rows.map(({ index }) => index);
    if (rows.length === 1) {
        const [{ table, index }] = rows;
        const row: Numbers = { data: table, at: 0, length: width, width, from, rows };
        row.compute = () => {
            row.at = index.data[index.at] * width;
        };
        return row;
    }
    const most = rows.reduce((sum, { table }) => sum + table.reduce((a, b) => Math.max(a, Math.abs(b)), 0), 0);
    const isSmall = most < SMALL_UNIT / 2;
    const sums = new Int32Array(isSmall ? Math.ceil(width / 2) : width);
    const tables = rows.map(({ table }) => (isSmall ? paired(table, width, SMALL_UNIT, Int32Array) : table));
    const none = new Int32Array(sums.length);
    /** Return where a row starts in its table. */
    const start = (i: number): number => (from[i] ? from[i].data[from[i].at] * sums.length : 0);
    const sum = computed(width, from, (to) => {
        sums.fill(0);
        for (let i = 0; i < rows.length; i += 3) {
            addRows(sums, tables[i], start(i), tables[i + 1] ?? none, start(i + 1), tables[i + 2] ?? none, start(i + 2));
        }
        if (isSmall) {
            unpair(sums, to);
        } else {
            to.set(sums);
        }
    });
    return { ...sum, rows };
}

/** Add three rows of tables. */
function addRows(to: Int32Array, xs: Int32Array, x: number, ys: Int32Array, y: number, zs: Int32Array, z: number): void {
    for (let j = 0; j < to.length; j++) {
        to[j] += xs[x + j] + ys[y + j] + zs[z + j];
    }
}

/** Write the columns of a table that has two of them in each number. */
function unpair(pairs: Int32Array, to: Int32Array): void {
    const half = pairs.length;
    for (let j = 0; j < half; j++) {
        const low = (pairs[j] << 16) >> 16;
        to[j] = low;
        to[j + half] = (pairs[j] - low) >> 16;
    }
}

/** Return the rows of two sums, of which the last and the first become a row of a table for pairs of indexes. */
function joined(xs: readonly Row[], ys: readonly Row[], width: number): readonly Row[] {
    const [x, y] = [xs[xs.length - 1], ys[0]];
    const count = x.count * y.count;
    if (count * width > MOST_PAIRS) {
        return [...xs, ...ys];
    }
    const table = new Int32Array(count * width);
    for (let i = 0; i < table.length; i++) {
        const [row, column] = [Math.floor(i / width), i % width];
        table[i] = x.table[Math.floor(row / y.count) * width + column] + y.table[(row % y.count) * width + column];
    }
    const index = each([x.index, y.index], (a, b) => a * y.count + b);
    return [...xs.slice(0, -1), { table, count, index }, ...ys.slice(1)];
}

/** Write the numbers that are not 0 when they are clipped, and their places; return how many there are. */
function gather(x: Numbers, low: number, high: number, to: Int32Array, places: Int32Array): number {
    const { data, at, length } = x;
    let used = 0;
    for (let i = 0; i < length; i++) {
        const value = clip(data[at + i], low, high);
        to[used] = value;
        places[used] = i;
        used += (value | -value) >>> 31;
    }
    to.fill(0, used, used + 4);
    return used;
}

/** Add rows of a matrix times some units, four at a time. */
function addProducts(
    sums: Float64Array,
    matrix: Float64Array,
    units: Int32Array,
    places: Int32Array,
    used: number,
): void {
    const width = sums.length;
    for (let i = 0; i < used; i += 4) {
        const unit0 = units[i];
        const unit1 = units[i + 1];
        const unit2 = units[i + 2];
        const unit3 = units[i + 3];
        const row0 = places[i] * width;
        const row1 = places[i + 1] * width;
        const row2 = places[i + 2] * width;
        const row3 = places[i + 3] * width;
        for (let j = 0; j < width; j++) {
            sums[j] +=
                unit0 * matrix[row0 + j] +
                unit1 * matrix[row1 + j] +
                unit2 * matrix[row2 + j] +
                unit3 * matrix[row3 + j];
        }
    }
}
