/**
 * A network as a program: steps that compute the logits after one context, in whole numbers.
 *
 * Nearly all the time goes into two loops, which are functions of their own because engines make these quicker:
 * {@link addRows} and {@link addProducts}.
 */

import { type Arithmetic, type Inputs, LIMIT, scatter, type Tensors } from "./base.js";

const UNIT = 2 ** 26; // a double holds `x + UNIT * y` exactly for whole numbers below 2^24
const MOST_PAIRS = 2 ** 21; // numbers in all tables for pairs of indexes

/** Numbers of a network: `length` of them, from the place `at` of some data on, in rows of `width`. */
interface Numbers {
    data: Int32Array;
    at: number;
    length: number;
    width: number;
    /** What computes them, if anything does, and the numbers that it needs. */
    compute?: () => void;
    from?: readonly Numbers[];
    /** Of a row of a table: its index. */
    index?: Numbers;
    /** Of a sum of rows: the rows. */
    rows?: readonly Numbers[];
    /** Of clipped numbers: what they were before, and the bounds. */
    clipped?: { x: Numbers; low: number; high: number };
}

/** Computes the logits after a context, in steps of 1/256 nat, by steps that write into numbers of their own. */
export class Program implements Arithmetic<Numbers> {
    private readonly steps: readonly (() => void)[];
    private readonly context: Int32Array;
    private readonly said: Int32Array;
    private readonly result: Numbers;
    private paired = 0; // numbers in tables for pairs
    private readonly matrices = new Map<Int32Array, Float64Array>();

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
        const steps = new Set<() => void>();
        const plan = ({ compute, from = [] }: Numbers): void => {
            if (compute && !steps.has(compute)) {
                from.forEach(plan);
                steps.add(compute);
            }
        };
        plan(this.result);
        this.steps = [...steps];
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
        for (let i = 0; i < length; i++) {
            to[at + i] = data[start + i];
        }
    }

    tensor(name: string): Numbers {
        const { data, shape } = this.tensors.get(name)!;
        return given(data, 0, data.length, data.length / shape[0]);
    }

    symbol(place: number): Numbers {
        return given(this.context, place);
    }

    condition(column: number): Numbers {
        return given(this.said, column);
    }

    lookUp({ data, width }: Numbers, rows: Numbers): Numbers {
        return rows.length > 1 ? each(rows, rows, (row) => data[row]) : rowOf(data, width, rows);
    }

    scattered(size: number, { data: gaps }: Numbers, { data: values }: Numbers): Numbers {
        return given(scatter(size, gaps, values), 0, size);
    }

    product(x: Numbers, { data: weights, width }: Numbers): Numbers {
        const half = Math.ceil(width / 2);
        const matrix = this.matrices.get(weights) ?? columnPairs(weights, width);
        this.matrices.set(weights, matrix); // recurrent networks use the same one at each place
        const sums = new Float64Array(half);
        const units = new Int32Array(x.length + 4);
        const places = new Int32Array(x.length + 4);
        const { x: from, low, high } = x.clipped ?? { x, low: -LIMIT, high: LIMIT };
        return computed(width, [from], (to) => {
            const used = gather(from, low, high, units, places);
            sums.fill(0);
            addProducts(sums, matrix, units, places, used);
            for (let j = 0; j < half; j++) {
                const upper = Math.floor(sums[j] / UNIT + 0.5);
                to[j + half] = upper; // of an odd width, the last one has no place
                to[j] = sums[j] - upper * UNIT;
            }
        });
    }

    add(x: Numbers, y: Numbers): Numbers {
        const rows = [x, y].map((each) => each.rows ?? (each.index ? [each] : []));
        return rows[0].length && rows[1].length
            ? sumOf(this.joined(rows[0], rows[1]))
            : computed(x.length, [x, y], (to) => {
                  const { data: xs, at: from } = x;
                  const { data: ys, at: other } = y;
                  for (let i = 0; i < to.length; i++) {
                      to[i] = xs[from + i] + ys[other + i];
                  }
              });
    }

    subtract(x: Numbers, y: Numbers): Numbers {
        return each(x, y, (a, b) => a - b);
    }

    multiply(x: Numbers, y: Numbers): Numbers {
        return each(x, y, Math.imul);
    }

    maximum(x: Numbers, y: Numbers): Numbers {
        return each(x, y, Math.max);
    }

    shift(x: Numbers, bits: number): Numbers {
        const [right, left] = [Math.max(bits, 0), Math.max(-bits, 0)];
        const half = (1 << right) >> 1;
        const write = (to: Int32Array): void => {
            const { data, at } = x;
            for (let i = 0; i < to.length; i++) {
                to[i] = ((data[at + i] + half) >> right) << left;
            }
        };
        return bits ? computed(x.length, [x], write) : x;
    }

    clip(x: Numbers, low: number, high: number): Numbers {
        return { ...each(x, x, (value) => clip(value, low, high)), clipped: { x, low, high } };
    }

    numbered(x: Numbers, count: number, y: Numbers): Numbers {
        return each(x, y, (a, b) => a * count + b);
    }

    /** Return the rows of two sums; two of them become one row of a table for pairs of indexes, if there is room. */
    private joined(xs: readonly Numbers[], ys: readonly Numbers[]): readonly Numbers[] {
        const [x, y] = [xs.at(-1)!, ys[0]];
        const { data, width } = y;
        const count = data.length / width;
        const size = x.data.length * count;
        if (this.paired + size > MOST_PAIRS) {
            return [...xs, ...ys];
        }
        this.paired += size;
        const table = new Int32Array(size);
        for (let i = 0; i < table.length; i += data.length) {
            const row = (i / data.length) * width;
            for (let j = 0; j < data.length; j++) {
                table[i + j] = x.data[row + (j % width)] + data[j];
            }
        }
        const index = each(x.index!, y.index!, (a, b) => a * count + b);
        return [...xs.slice(0, -1), rowOf(table, width, index), ...ys.slice(1)];
    }
}

function given(data: Int32Array, at: number, length = 1, width = 1): Numbers {
    return { data, at, length, width };
}

/** Return numbers that a step computes from others. */
function computed(length: number, from: readonly Numbers[], write: (to: Int32Array) => void): Numbers {
    const data = new Int32Array(length);
    return { ...given(data, 0, length, length), from, compute: () => write(data) };
}

/** Return what a function makes of each two numbers. */
function each(x: Numbers, y: Numbers, make: (x: number, y: number) => number): Numbers {
    return computed(x.length, [x, y], (to) => {
        for (let i = 0; i < to.length; i++) {
            to[i] = make(x.data[x.at + i], y.data[y.at + i]);
        }
    });
}

/** Return a matrix with two columns in each number: one of the first half, and UNIT times one of the other half. */
function columnPairs(matrix: Int32Array, width: number): Float64Array {
    const half = Math.ceil(width / 2);
    const pairs = new Float64Array((matrix.length / width) * half);
    for (let i = 0; i < matrix.length; i++) {
        const column = i % width;
        pairs[Math.floor(i / width) * half + (column % half)] += column < half ? matrix[i] : matrix[i] * UNIT;
    }
    return pairs;
}

function clip(value: number, low: number, high: number): number {
    const above = value - low;
    return Math.min(low + (above & ~(above >> 31)), high); // `Math.max` would branch
}

/** Return a row of a table. */
function rowOf(data: Int32Array, width: number, index: Numbers): Numbers {
    const row: Numbers = { ...given(data, 0, width, width), index, from: [index] };
    row.compute = () => {
        row.at = index.data[index.at] * width;
    };
    return row;
}

/** Return the sum of rows. */
function sumOf(rows: readonly Numbers[]): Numbers {
    const [first] = rows;
    if (rows.length === 1) {
        return first;
    }
    const none = given(new Int32Array(first.width), 0);
    const sum = computed(first.width, rows, (to) => {
        to.fill(0);
        for (let i = 0; i < rows.length; i += 3) {
            addRows(to, rows[i], rows[i + 1] ?? none, rows[i + 2] ?? none);
        }
    });
    return { ...sum, rows };
}

/** Add three rows. */
function addRows(to: Int32Array, x: Numbers, y: Numbers, z: Numbers): void {
    const { data: xs, at: a } = x;
    const { data: ys, at: b } = y;
    const { data: zs, at: c } = z;
    for (let j = 0; j < to.length; j++) {
        to[j] += xs[a + j] + ys[b + j] + zs[c + j];
    }
}

/** Write the numbers that are not 0 after clipping, and their places; return how many there are. */
function gather(x: Numbers, low: number, high: number, to: Int32Array, places: Int32Array): number {
    const { data, at, length } = x;
    let used = 0;
    for (let i = 0; i < length; i++) {
        const value = clip(data[at + i], low, high);
        to[used] = value;
        places[used] = i;
        used += (value | -value) >>> 31; // a branch would be slow
    }
    to.fill(0, used, used + 4);
    return used;
}

/** Add some rows of a matrix times their units, four at a time. */
function addProducts(
    sums: Float64Array,
    matrix: Float64Array,
    units: Int32Array,
    places: Int32Array,
    used: number,
): void {
    const width = sums.length;
    for (let i = 0; i < used; i += 4) {
        // Destructuring would be slow.
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
