/** Names in the making: attempts at the names of a stream, drawn symbol by symbol. */

import type { Constraint } from "./constraints.js";
import type { Lookahead } from "./lookahead.js";
import type { MarkovModel } from "./markov.js";
import type { Nodes } from "./nodes.js";
import type { Plan } from "./options.js";
import { type Key, Uniforms } from "./philox.js";
import { choose } from "./sampling.js";

/** Draws attempts at the names of one stream; the last one drawn is in `ids`. */
export class Drawing {
    /** The ids of the last attempt, `length` of them. */
    readonly ids: Uint16Array;
    length = 0;
    private readonly uniforms: Uniforms;
    private readonly guided: Float64Array;

    /**
     * @param markov - counts the symbols that the network expects, if it is given.
     */
    constructor(
        private readonly nodes: Nodes,
        private readonly plan: Plan,
        key: Key,
        private readonly markov?: MarkovModel,
    ) {
        this.ids = new Uint16Array(plan.constraint.maxLength + 1);
        this.uniforms = new Uniforms(key, plan.draws);
        this.guided = new Float64Array(nodes.ids);
    }

    /**
     * Draw an attempt freely, and return whether it meets a constraint.
     *
     * @param constraint - that of the plan, or one that asks for lengths alone.
     */
    free(name: number, attempt: number, constraint: Constraint): boolean {
        const { nodes, ids, uniforms } = this;
        const { unrestricted, maxLength } = constraint;
        let node = this.start(name, attempt);
        let state = unrestricted ? 0 : this.plan.start;
        for (let draw = 0; ; draw++) {
            this.markov?.observe(nodes, node, this.length);
            const id = choose(nodes.sums, nodes.row(node), nodes.ids, uniforms.at(draw));
            if (id === 0) {
                return constraint.met(this.length, state);
            }
            if (this.length === maxLength) {
                return false;
            }
            ids[this.length++] = id;
            if (!unrestricted) {
                state = constraint.after(state, id);
                if (!constraint.viable(this.length, state)) {
                    return false;
                }
            }
            node = nodes.next(node, id);
        }
    }

    /**
     * Draw a candidate with a look ahead, and return its weight: how probable it is in the network, as a multiple of how
     * often it is proposed; 0 if it does not meet the constraints.
     */
    candidate(name: number, attempt: number, lookahead: Lookahead): number {
        const { nodes, ids, uniforms, guided } = this;
        const { constraint } = this.plan;
        let node = this.start(name, attempt);
        let state = this.plan.start;
        let weight = 1;
        for (let draw = 0; ; draw++) {
            this.markov?.observe(nodes, node, this.length);
            const total = lookahead.propose(this.length, state, nodes, node, guided);
            const ratio = total > 0 ? guided[guided.length - 1] / total : 0;
            weight *= ratio;
            if (ratio === 0) {
                return 0;
            }
            const id = choose(guided, 0, guided.length, uniforms.at(draw));
            if (id === 0) {
                return constraint.met(this.length, state) ? weight : 0;
            }
            if (this.length === constraint.maxLength) {
                return 0;
            }
            ids[this.length++] = id;
            state = constraint.after(state, id);
            node = nodes.next(node, id);
        }
    }

    /** Draw an attempt with a look ahead, and return whether it is accepted. */
    accepted(name: number, attempt: number, lookahead: Lookahead): boolean {
        const weight = this.candidate(name, attempt, lookahead);
        return this.uniforms.acceptance(name, attempt) * lookahead.bound < weight;
    }

    private start(name: number, attempt: number): number {
        this.nodes.use(this.plan.sampling);
        this.uniforms.start(name, attempt);
        this.ids.set(this.plan.prefix);
        this.length = this.plan.prefix.length;
        return this.nodes.start(this.plan.prefix);
    }
}
