/** A Markov model of a network under sampling options: the next symbol after the last few, by length. */

import type { Nodes } from "./nodes.js";

const UNIT = 2 ** 16;
const PRIOR = 16 * UNIT; // a coarser context counts for sixteen free names

/** Counts the symbols that a network expects after the last `order` ids. */
export class MarkovModel {
    private readonly counts: Float64Array; // expected, in steps of 1 / UNIT: whole numbers
    private readonly contexts: number;

    /**
     * @param order - how many symbols it looks at.
     * @param lengths - lengths from this one less 1 on are alike.
     * @param ids - number of ids, the boundary included.
     */
    constructor(
        readonly order: number,
        readonly lengths: number,
        readonly ids: number,
    ) {
        this.contexts = ids ** order;
        this.counts = new Float64Array(lengths * this.contexts * ids);
    }

    /** Count the next symbols of a name of so many symbols, as the network expects them. */
    observe(nodes: Nodes, node: number, length: number): void {
        const { counts, ids } = this;
        const place = Math.min(length, this.lengths - 1) * this.contexts + nodes.codeOf(node, this.order);
        const from = nodes.row(node);
        const { sums } = nodes;
        const scale = UNIT / sums[from + ids - 1];
        let before = 0;
        for (let i = 0; i < ids; i++) {
            const sum = sums[from + i];
            counts[place * ids + i] += Math.floor((sum - before) * scale + 0.5);
            before = sum;
        }
    }

    /**
     * Return the probability of each id, by length, context and id.
     *
     * Each distribution is that of the next coarser context, as if seen a few times, and what was seen. The coarsest
     * context is none at all, then come those of the last symbol and of the last two, at last those at each length.
     */
    probabilities(): Float64Array {
        const { counts, ids, order } = this;
        let found = new Float64Array(ids).fill(1 / ids);
        for (let known = 0; known <= order; known++) {
            const seen = new Float64Array(ids ** (known + 1));
            for (let i = 0; i < counts.length; i++) {
                seen[i % seen.length] += counts[i];
            }
            found = smoothed(seen, found, ids);
        }
        return smoothed(counts, found, ids);
    }
}

/** Return the distributions of some counts, each with a coarser one for what was not seen, which are repeated. */
function smoothed(counts: Float64Array, coarser: Float64Array, ids: number): Float64Array<ArrayBuffer> {
    const found = new Float64Array(counts.length);
    for (let row = 0; row < counts.length; row += ids) {
        let total = PRIOR;
        for (let i = row; i < row + ids; i++) {
            total += counts[i];
        }
        for (let i = row; i < row + ids; i++) {
            found[i] = (counts[i] + PRIOR * coarser[i % coarser.length]) / total;
        }
    }
    return found;
}
