/**
 * How names that meet constraints are found: drawn freely, or proposed with a look ahead.
 *
 * A free name that meets the constraints is drawn from the model's distribution given that they are met: rejection is
 * exact. It is slow where they are rarely met. There, symbols are proposed in proportion to the network's weights times
 * the chance that the constraints will be met from here. A Markov model of the network gives that chance, by dynamic
 * programming over the remaining length (Zhang et al. 2023, "Tractable control for autoregressive language
 * generation"). Accepting candidates in proportion to their weights makes the result exact again (von Neumann 1951),
 * but for the weights above a bound, which are clipped. docs/format.md specifies every step.
 */

import { Constraint } from "./constraints.js";
import { Drawing } from "./drawing.js";
import { GenerationError } from "./errors.js";
import { MarkovModel } from "./markov.js";
import type { Nodes } from "./nodes.js";
import type { Plan } from "./options.js";
import { keyOf } from "./philox.js";

const FEWEST = 64;
const FREE = 4096; // free names that the Markov model is made from
const PILOT = 16_384; // candidates that the bound is made from
const NUMBERS = 2 ** 26; // weights that these names or candidates may take
const COMMON = 1 / 8; // constraints that so many free names meet need no look ahead
const GAIN = 2; // a look ahead has to accept so many times as many candidates, because they cost more
const STEADY = 1 / 1024; // with fewer accepted, the bound is uncertain; free names are better,
const OFTEN = 2 ** -13; // if so many meet the constraints
const RAREST = 2 ** -17; // candidates accepted
const CLIPPED = 0.005; // of the weights of the candidates, before the margin
const MARGIN = 2; // on the bound, because the largest weights are rare
const MOST_STEPS = 2 ** 25; // of the dynamic programming
const MOST_NUMBERS = 2 ** 22; // of the Markov model
const ORDERS = [2, 1, 0];

/** The chance that names meet a constraint, from what is known of them so far. */
export class Lookahead {
    /** A candidate whose weight reaches it is accepted for certain. */
    bound = 1;
    private readonly order: number;
    private readonly contexts: number;
    private readonly chances: (Float64Array | undefined)[]; // by length: of each state and context

    /**
     * @param start - length of the prefix.
     */
    constructor(
        markov: MarkovModel,
        private readonly constraint: Constraint,
        start: number,
    ) {
        this.order = markov.order;
        this.contexts = constraint.ids ** markov.order;
        this.chances = this.computed(markov, start);
    }

    /** Return the chance for a name of so many symbols. */
    at(length: number, state: number, nodes: Nodes, node: number): number {
        return state < 0 ? 0 : this.chances[length]![state * this.contexts + nodes.codeOf(node, this.order)];
    }

    /**
     * Write the running sums of the weights after a node, each times the chance after its id; return what their sum is
     * expected to be.
     */
    propose(length: number, state: number, nodes: Nodes, node: number, to: Float64Array): number {
        const from = nodes.row(node);
        const { ids, sums } = nodes;
        const { constraint, contexts, order } = this;
        const expected = sums[from + ids - 1] * this.at(length, state, nodes, node);
        let sum = constraint.met(length, state) ? sums[from] : 0;
        to[0] = sum;
        const chances = this.chances[length + 1];
        const { transitions } = constraint.automaton;
        const kept = (nodes.codeOf(node, order) * ids) % contexts; // 0 if it looks at none
        const step = Math.min(order, 1);
        for (let i = 1; i < ids; i++) {
            const after = transitions[state * ids + i];
            if (chances && after >= 0) {
                sum += (sums[from + i] - sums[from + i - 1]) * chances[after * contexts + kept + i * step];
            }
            to[i] = sum;
        }
        return expected;
    }

    /** Return the chances by length, state and context, from the greatest length down. */
    private computed(markov: MarkovModel, start: number): Float64Array[] {
        const { constraint, contexts, order } = this;
        const { states, transitions } = constraint.automaton;
        const { ids } = constraint;
        const probabilities = markov.probabilities();
        const found: Float64Array[] = [];
        for (let length = constraint.maxLength; length >= start; length--) {
            const chances = new Float64Array(states * contexts);
            const later = found[length + 1];
            const place = Math.min(length, markov.lengths - 1) * contexts;
            for (let state = 0; state < states; state++) {
                const ends = constraint.met(length, state) ? 1 : 0;
                const row = state * ids;
                for (let context = 0; context < contexts; context++) {
                    const from = (place + context) * ids;
                    let chance = ends * probabilities[from];
                    if (later !== undefined) {
                        const kept = (context * ids) % contexts;
                        const step = Math.min(order, 1);
                        for (let i = 1; i < ids; i++) {
                            const after = transitions[row + i];
                            if (after >= 0) {
                                chance += probabilities[from + i] * later[after * contexts + kept + i * step];
                            }
                        }
                    }
                    chances[state * contexts + context] = chance;
                }
            }
            found[length] = chances;
        }
        return found;
    }
}

/** How the names of a stream are found. */
export interface Method {
    /** An estimate of the share of candidates that meet the constraints and are accepted. */
    accepted: number;
    /** How symbols are proposed; undefined if names are drawn freely. */
    proposal: Lookahead | undefined;
    /** An estimate of the probability that a free name meets the constraints. */
    value: number;
}

/** Return the method of drawing freely, where so many names meet the constraints. */
const freely = (value: number): Method => ({ accepted: value, proposal: undefined, value });

/** Names are drawn freely, and all are as they should be. */
export const FREELY = freely(1);

/** Return how the names of a plan are found. It depends on the model and what names are drawn from alone. */
export function methodOf(nodes: Nodes, plan: Plan): Method {
    const { constraint, prefix } = plan;
    const order = orderOf(nodes, constraint);
    const room = Math.floor(MOST_NUMBERS / nodes.ids ** ((order ?? 0) + 1));
    const markov = new MarkovModel(order ?? 0, Math.min(constraint.maxLength + 1, Math.max(1, room)), nodes.ids);
    const count = plan.constant ? 1 : affordable(FREE, nodes, plan);
    const share = freeNames(nodes, plan, count, markov) / count;
    if (plan.constant || order === undefined || share >= COMMON) {
        return freely(share);
    }
    const first = new Lookahead(markov, constraint, prefix.length);
    const method = bounded(first, nodes, plan, "first candidates", count, markov);
    if (method.proposal === undefined) {
        return method;
    }
    // They showed what follows in the contexts of names that meet the constraints.
    const second = new Lookahead(markov, constraint, prefix.length);
    return bounded(second, nodes, plan, "candidates", affordable(PILOT, nodes, plan));
}

/** Return how many of so many names or candidates to draw: fewer of a large model, but not too few. */
function affordable(names: number, nodes: Nodes, plan: Plan): number {
    return Math.min(names, Math.max(FEWEST, Math.floor(NUMBERS / (nodes.ids * plan.draws))));
}

/** Return how many symbols the Markov model looks at; undefined if the constraint has too many states for any. */
function orderOf(nodes: Nodes, constraint: Constraint): number | undefined {
    const states = constraint.automaton.states * (constraint.maxLength + 1);
    return ORDERS.find((order) => order <= nodes.blockSize && states * nodes.ids ** (order + 1) <= MOST_STEPS);
}

/** Return how many of some free names meet the constraints, and show the names to a Markov model. */
function freeNames(nodes: Nodes, plan: Plan, count: number, markov: MarkovModel): number {
    const { constraint, start } = plan;
    const anything = new Constraint(constraint.ids, 1, constraint.maxLength);
    const drawing = new Drawing(nodes, plan, keyOf("sequentia: free names"), markov);
    let met = 0;
    for (let name = 0; name < count; name++) {
        if (drawing.draw(name, 0, anything)) {
            let state = start;
            for (let i = plan.prefix.length; i < drawing.length; i++) {
                state = constraint.after(state, drawing.ids[i]);
            }
            met += constraint.met(drawing.length, state) ? 1 : 0;
        }
    }
    return met;
}

/** Set the bound of a look ahead from the weights of some candidates, and return the method that is quicker. */
function bounded(
    lookahead: Lookahead,
    nodes: Nodes,
    plan: Plan,
    what: string,
    count: number,
    markov?: MarkovModel,
): Method {
    const drawing = new Drawing(nodes, plan, keyOf(`sequentia: ${what}`), markov);
    const ranked = Float64Array.from({ length: count }, (_, name) => drawing.draw(name, 0, undefined, lookahead));
    ranked.sort().reverse();
    let total = 0;
    const sums = ranked.map((weight) => (total += weight));
    if (!total) {
        return freely(0);
    }
    const last = ranked.findLastIndex((weight, i) => sums[i] - (i + 1) * weight <= CLIPPED * total);
    lookahead.bound = MARGIN * ranked[last];
    const accepted = total / (count * lookahead.bound);
    const value = lookahead.at(plan.prefix.length, plan.start, nodes, nodes.start(plan.prefix)) * (total / count);
    const pays = accepted >= GAIN * value && (accepted >= STEADY || value < OFTEN);
    return pays ? { accepted, proposal: lookahead, value } : freely(value);
}

/**
 * Check that names can be found.
 *
 * @throws {@link GenerationError} if the constraints are too rarely met.
 */
export function checkRarity({ accepted, value }: Method, plan: Plan): void {
    if (accepted >= RAREST) {
        return;
    }
    if (plan.constant) {
        throw new GenerationError(
            "temperature=0 and topK=1 give the same name every time, and it is longer than " +
                `${plan.constraint.maxLength} or does not meet the other options`,
        );
    }
    if (!value) {
        throw new GenerationError(
            "the options are met by none of the names tried: their probability is 0 or nearly so; loosen them " +
                "(topK, topP and a low temperature may leave no such name)",
        );
    }
    const about = value.toExponential(1).replace(/([+-])(\d)$/, "$10$2");
    throw new GenerationError(
        `the options are met with a probability of about ${about}, too rarely to find names; loosen them`,
    );
}
