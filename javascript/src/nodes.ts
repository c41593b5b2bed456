/**
 * The contexts that names lead to, and the distribution of the next symbol after each.
 *
 * A context is a node, and each symbol leads from there to another node. So a name whose beginning is known is drawn
 * without computing anything but its uniform numbers.
 */

import { keyOf, type LogitCache } from "./logit_cache.js";
import { type Sampling, weigh } from "./sampling.js";
import type { Vocabulary } from "./vocabulary.js";

const BYTES = 2 ** 25;
const FEWEST = 64; // nodes that are remembered at least

/** The nodes of one way of sampling; when there are too many, all are forgotten. */
export class Nodes {
    /** The running sums of the weights, in rows of `ids`. */
    sums: Float64Array;
    readonly ids: number;
    readonly blockSize: number;
    private contexts: Uint16Array;
    private links: Int32Array;
    private count = 0;
    private readonly most: number;
    private readonly known = new Map<string, number>();
    private readonly weights: Float64Array;
    private readonly first: boolean[];
    private readonly later: boolean[];

    constructor(
        private readonly cache: LogitCache,
        private readonly sampling: Sampling,
        vocabulary: Vocabulary,
    ) {
        const { ids, blockSize } = cache.inputs;
        this.ids = ids;
        this.blockSize = blockSize;
        this.most = Math.max(FEWEST, Math.floor(BYTES / (12 * ids + 2 * blockSize + 100)));
        this.sums = new Float64Array(16 * ids);
        this.links = new Int32Array(16 * ids);
        this.contexts = new Uint16Array(16 * blockSize);
        this.weights = new Float64Array(ids);
        this.later = Array.from({ length: ids }, (_, id) => id === 0 || id !== vocabulary.unknown);
        this.first = this.later.map((allowed, id) => allowed && id > 0);
    }

    /** Return the node after the first ids of a name; it holds until the next call of any method. */
    start(prefix: ArrayLike<number>): number {
        const context = new Uint16Array(this.blockSize);
        for (let i = 1; i <= Math.min(prefix.length, this.blockSize); i++) {
            context[this.blockSize - i] = prefix[prefix.length - i];
        }
        return this.find(context, 0);
    }

    /** Return the node that a symbol leads to; it holds until the next call of any method. */
    next(node: number, id: number): number {
        const link = node * this.ids + id;
        const known = this.links[link];
        if (known) {
            return known - 1;
        }
        const context = new Uint16Array(this.blockSize);
        context.set(this.contexts.subarray(node * this.blockSize + 1, (node + 1) * this.blockSize));
        context[this.blockSize - 1] = id;
        const before = this.count;
        const found = this.find(context, 0);
        if (this.count >= before) {
            this.links[link] = found + 1;
        }
        return found;
    }

    /** Return the probability of each id after the first ids of a name. */
    shares(prefix: ArrayLike<number>): Float64Array {
        const from = this.start(prefix) * this.ids;
        const row = this.sums.subarray(from, from + this.ids);
        return row.map((sum, id) => (sum - (id ? row[id - 1] : 0)) / row[this.ids - 1]);
    }

    /** Return the number whose digits are the newest `order` ids of a node's context. */
    code(node: number, order: number): number {
        let code = 0;
        for (let i = (node + 1) * this.blockSize - order; i < (node + 1) * this.blockSize; i++) {
            code = code * this.ids + this.contexts[i];
        }
        return code;
    }

    private find(context: Uint16Array, from: number): number {
        const key = keyOf(context, from, this.blockSize);
        const known = this.known.get(key);
        if (known !== undefined) {
            return known;
        }
        if (this.count === this.most) {
            this.known.clear();
            this.links.fill(0);
            this.count = 0;
        }
        this.makeRoom();
        const node = this.count++;
        this.contexts.set(context, node * this.blockSize);
        this.known.set(key, node);
        const row = this.cache.after(context);
        weigh(this.cache.logits, row, this.weights, this.sampling, key ? this.later : this.first);
        let sum = 0;
        for (let i = 0, at = node * this.ids; i < this.ids; i++, at++) {
            sum += this.weights[i];
            this.sums[at] = sum;
        }
        return node;
    }

    private makeRoom(): void {
        const room = this.sums.length / this.ids;
        if (this.count === room) {
            const larger = Math.min(2 * room, this.most);
            const { sums, links, contexts } = this;
            this.sums = new Float64Array(larger * this.ids);
            this.sums.set(sums);
            this.links = new Int32Array(larger * this.ids);
            this.links.set(links);
            this.contexts = new Uint16Array(larger * this.blockSize);
            this.contexts.set(contexts);
        }
    }
}
