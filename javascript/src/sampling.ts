/**
 * From logits to symbols, in whole numbers: the weights of symbols, and the draw.
 *
 * Nothing here rounds differently on another machine; docs/format.md specifies every step.
 */

const MAX_DISTANCE = 5856; // from there on, 2^32 * e^(-d/256) rounds to 0
const FIRST = 2 ** 32;

let table: Float64Array | undefined;

/** Return the weight of each distance in steps of 1/256. No entry is close to a half, so any exponential will do. */
export function weightTable(): Float64Array {
    table ??= Float64Array.from({ length: MAX_DISTANCE + 1 }, (_, d) => Math.floor(FIRST * Math.exp(-d / 256) + 0.5));
    return table;
}

/** How logits become weights. */
export interface Sampling {
    /** Divides the distances; 0 keeps only the most probable id, of equal ones the lowest. */
    temperature: number;
    /** Keep this many of the most probable ids (Fan et al. 2018); all by default. */
    topK: number | undefined;
    /** Keep the smallest set of most probable ids with at least this share (Holtzman et al. 2020). */
    topP: number | undefined;
}

/**
 * Write the weight of each id: the nearest whole number to 2^32 * e^(-d/256).
 *
 * @param logits - in steps of 1/256, from the place `from` on.
 * @param to - receives the weights, one for each id.
 * @param allowed - by id, whether it may be drawn; one at least may.
 */
export function weigh(
    logits: ArrayLike<number>,
    from: number,
    to: Float64Array,
    { temperature, topK, topP }: Sampling,
    allowed: readonly boolean[],
): void {
    const ids = to.length;
    let best = allowed.indexOf(true);
    for (let i = best; i < ids; i++) {
        if (allowed[i] && logits[from + i] > logits[from + best]) {
            best = i;
        }
    }
    const largest = logits[from + best];
    to.fill(0);
    if (temperature === 0) {
        to[best] = FIRST;
        return;
    }
    const known = weightTable();
    for (let i = 0; i < ids; i++) {
        if (allowed[i]) {
            to[i] = known[distance(largest - logits[from + i], temperature)];
        }
    }
    if (topK !== undefined) {
        const rank = (i: number): number => distance(largest - logits[from + i], temperature);
        const order = [...to.keys()].filter((i) => allowed[i]);
        order.sort((a, b) => rank(a) - rank(b)); // equal ones stay in the order of their ids
        for (let i = topK; i < order.length; i++) {
            to[order[i]] = 0;
        }
    }
    if (topP !== undefined) {
        keepShare(to, topP);
    }
}

function distance(difference: number, temperature: number): number {
    return Math.min(Math.floor(difference / temperature + 0.5), MAX_DISTANCE);
}

function keepShare(weights: Float64Array, share: number): void {
    const order = [...weights.keys()].sort((a, b) => weights[b] - weights[a]);
    const total = weights.reduce((sum, weight) => sum + weight);
    let before = 0;
    for (const id of order) {
        const weight = weights[id];
        if (before >= share * total) {
            weights[id] = 0;
        }
        before += weight;
    }
}

/**
 * Draw an id: the first whose sum of weights exceeds the uniform number times the sum of all.
 *
 * @param sums - the running sums of the weights, in rows of `ids`.
 * @param start - where the row starts.
 * @param uniform - a multiple of 2^-53 in [0, 1).
 */
export function choose(sums: Float64Array, start: number, ids: number, uniform: number): number {
    const point = uniform * sums[start + ids - 1];
    let low = start;
    for (let width = ids; width > 1; ) {
        const half = width >> 1;
        if (sums[low + half - 1] <= point) {
            low += half;
        }
        width -= half;
    }
    return low - start;
}

/** Return the probability of each id from its logit in steps of 1/256. */
export function softmax(logits: Int32Array): Float64Array {
    return Float64Array.from(logProbabilities(logits), Math.exp);
}

/** Return the natural log-probability of each id from its logit in steps of 1/256. */
export function logProbabilities(logits: Int32Array): Float64Array {
    const largest = logits.reduce((most, logit) => Math.max(most, logit));
    const sum = logits.reduce((sum, logit) => sum + Math.exp((logit - largest) / 256), 0);
    return Float64Array.from(logits, (logit) => (logit - largest) / 256 - Math.log(sum));
}
