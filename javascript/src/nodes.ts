/**
 * A cache of logits: the contexts that names lead to, and the distribution of the next symbol after each.
 *
 * A context is a node, and each symbol leads from there to another node. So a name whose beginning is known is drawn
 * without computing anything but its uniform numbers. Under other options, the logits stay and are weighed again.
 */

import type { Inputs } from "./arithmetic/base.js";
import type { Program } from "./arithmetic/integers.js";
import { type Sampling, weigh } from "./sampling.js";

const BYTES = 2 ** 26;
const FEWEST = 64; // nodes that are remembered at least

/** The contexts of a model whose conditions have given values; when there are too many, no more are remembered. */
export class Nodes {
    /** Logits in steps of 1/256, in rows of `ids`. */
    logits = new Int32Array();
    /** The running sums of the weights, in rows of `ids`; {@link row} brings a row up to date. */
    sums = new Float64Array();
    readonly ids: number;
    readonly blockSize: number;
    private links = new Int32Array();
    private contexts = new Uint16Array();
    private weighed = new Int32Array(); // when each node's weights were computed
    private room = 0;
    private count = 0;
    private readonly most: number;
    private slots = new Int32Array(1); // a hash table of the nodes
    private readonly context: Uint16Array; // to be found
    private readonly weights: Float64Array;
    private readonly allowed: boolean[][]; // at the start of a name, and later
    private sampling: Sampling | undefined;
    private time = 0;

    /**
     * @param said - the ids of the conditions' values.
     * @param unknown - an id that is never drawn, or 0.
     */
    constructor(
        private readonly program: Program,
        { ids, blockSize }: Inputs,
        private readonly said: readonly number[],
        unknown: number,
    ) {
        this.ids = ids;
        this.blockSize = blockSize;
        this.most = Math.max(FEWEST, Math.floor(BYTES / (16 * ids + 2 * blockSize + 20)));
        this.weights = new Float64Array(ids);
        this.context = new Uint16Array(blockSize);
        this.allowed = [1, 0].map((least) =>
            Array.from(this.weights, (_, id) => id >= least && (!id || id !== unknown)),
        );
    }

    /** Say how logits become weights, from now on. */
    use(sampling: Sampling): void {
        const { temperature, topK, topP } = sampling;
        const { sampling: last } = this;
        if (temperature !== last?.temperature || topK !== last.topK || topP !== last.topP) {
            this.sampling = sampling;
            this.time++;
        }
    }

    /** Return the node after the first ids of a name; it holds until the next call of any method. */
    start(prefix: ArrayLike<number>): number {
        const { context } = this;
        context.fill(0);
        for (let i = 1; i <= Math.min(prefix.length, context.length); i++) {
            context[context.length - i] = prefix[prefix.length - i];
        }
        return this.nodeOf();
    }

    /** Return the node that a symbol leads to; it holds until the next call of any method. */
    follow(node: number, id: number): number {
        const link = node * this.ids + id;
        if (this.links[link]) {
            return this.links[link] - 1;
        }
        const { context, contexts } = this;
        const last = context.length - 1;
        for (let i = 0; i < last; i++) {
            context[i] = contexts[node * context.length + i + 1];
        }
        context[last] = id;
        const found = this.nodeOf();
        if (found < this.most) {
            this.links[link] = found + 1;
        }
        return found;
    }

    /** Return where a node's weights start in {@link sums}. */
    row(node: number): number {
        const row = node * this.ids;
        if (this.weighed[node] !== this.time) {
            this.weighed[node] = this.time;
            const isLater = this.contexts[(node + 1) * this.blockSize - 1] > 0;
            weigh(this.logits, row, this.weights, this.sampling!, this.allowed[isLater ? 1 : 0]);
            let sum = 0;
            for (let i = 0; i < this.ids; i++) {
                sum += this.weights[i];
                this.sums[row + i] = sum;
            }
        }
        return row;
    }

    /** Return the number whose digits are the newest `order` ids of a node's context. */
    codeOf(node: number, order: number): number {
        const end = (node + 1) * this.blockSize;
        let code = 0;
        for (let i = end - order; i < end; i++) {
            code = code * this.ids + this.contexts[i];
        }
        return code;
    }

    /** Return the node of {@link context}. */
    private nodeOf(): number {
        const { context, slots } = this;
        let slot = this.slotOf(context, 0);
        if (slots[slot]) {
            return slots[slot] - 1;
        }
        const node = this.count;
        if (node === this.room) {
            this.makeRoom();
            slot = this.slotOf(context, 0);
        }
        if (node < this.most) {
            this.slots[slot] = node + 1;
            this.count++;
        }
        // The node after the last one that is remembered serves for all others.
        this.links.fill(0, node * this.ids, (node + 1) * this.ids);
        this.weighed[node] = 0;
        this.contexts.set(context, node * this.blockSize);
        this.program.run(context, this.said, this.logits, node * this.ids);
        return node;
    }

    /** Return the slot of the context that starts at a place of some ids: an empty one, if it is not known. */
    private slotOf(from: Uint16Array, at: number): number {
        const { slots, contexts, blockSize } = this;
        let hash = 0;
        for (let i = 0; i < blockSize; i++) {
            hash = Math.imul(hash ^ from[at + i], 0x9e3779b1);
            hash ^= hash >>> 15;
        }
        for (let slot = hash; ; slot++) {
            slot &= slots.length - 1;
            const known = (slots[slot] - 1) * blockSize;
            let i = 0;
            while (known >= 0 && i < blockSize && contexts[known + i] === from[at + i]) {
                i++;
            }
            if (known < 0 || i === blockSize) {
                return slot;
            }
        }
    }

    private makeRoom(): void {
        this.room = Math.min(Math.max(2 * this.room, 16), this.most + 1);
        const larger = <T extends Int32Array | Uint16Array | Float64Array>(old: T, width: number): T => {
            const found = new (old.constructor as new (length: number) => T)(this.room * width);
            found.set(old);
            return found;
        };
        this.logits = larger(this.logits, this.ids);
        this.sums = larger(this.sums, this.ids);
        this.links = larger(this.links, this.ids);
        this.contexts = larger(this.contexts, this.blockSize);
        this.weighed = larger(this.weighed, 1);
        this.slots = new Int32Array(2 ** Math.ceil(Math.log2(2 * this.room)));
        for (let node = 0; node < this.count; node++) {
            this.slots[this.slotOf(this.contexts, node * this.blockSize)] = node + 1;
        }
    }
}
