/** Names in the making: attempts at the names of a stream, drawn symbol by symbol. */

import type { Lookahead } from "./lookahead.js";
import type { MarkovModel } from "./markov.js";
import type { Nodes } from "./nodes.js";
import type { Plan } from "./options.js";
import { Uniforms } from "./philox.js";
import { choose } from "./sampling.js";

/** Draws attempts at the names of one stream; the last one drawn is in `ids`. */
export class Drawing {
    /** The ids of the last attempt, `length` of them. */
    readonly ids: Uint16Array;
    length = 0;
    private readonly uniforms: Uniforms;
    private guided: Float64Array | undefined; // sums of what is proposed

    /**
     * @param markov - counts the symbols that the network expects, if it is given.
     */
    constructor(
        private readonly nodes: Nodes,
        private readonly plan: Plan,
        key: bigint,
        private readonly markov?: MarkovModel,
    ) {
        this.ids = new Uint16Array(plan.constraint.maxLength + 1);
        this.uniforms = new Uniforms(key, plan.draws);
    }

    /**
     * Draw an attempt, and return its weight: 0 if it does not meet a constraint, else how probable it is in the network
     * as a multiple of how often it is proposed.
     *
     * @param constraint - that of the plan, or one that asks for lengths alone.
     * @param lookahead - how symbols are proposed; as the network has them by default.
     */
    draw(name: number, attempt: number, constraint = this.plan.constraint, lookahead?: Lookahead): number {
        const { nodes, ids, uniforms, markov } = this;
        const { prefix, sampling, start } = this.plan;
        nodes.use(sampling);
        uniforms.start(name, attempt);
        ids.set(prefix);
        let length = prefix.length;
        let state = constraint.unrestricted ? 0 : start;
        let weight = 1;
        for (let node = nodes.start(prefix), draw = 0; ; draw++) {
            let row = nodes.row(node);
            let sums: Float64Array = nodes.sums;
            markov?.observe(nodes, node, length);
            if (lookahead) {
                this.guided ??= new Float64Array(nodes.ids);
                sums = this.guided;
                const expected = lookahead.propose(length, state, nodes, node, sums);
                weight *= expected > 0 ? sums[sums.length - 1] / expected : 0;
                if (!weight) {
                    return 0;
                }
                row = 0;
            }
            const id = choose(sums, row, nodes.ids, uniforms.at(draw));
            this.length = length;
            if (!id) {
                return constraint.met(length, state) ? weight : 0;
            }
            ids[length++] = id;
            state = constraint.after(state, id);
            if (!constraint.viable(length, state)) {
                return 0;
            }
            node = nodes.follow(node, id);
        }
    }

    /** Draw an attempt, and return whether it meets the constraints and is accepted. */
    accepts(name: number, attempt: number, lookahead?: Lookahead): boolean {
        const weight = this.draw(name, attempt, undefined, lookahead);
        return lookahead ? this.uniforms.acceptance(name, attempt) * lookahead.bound < weight : weight > 0;
    }
}
