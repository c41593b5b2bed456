/**
 * Counts of n-grams with interpolated Kneser-Ney smoothing, as tables over states.
 *
 * A state is a context that occurs in the list, of any length below the order. Each symbol of a context, the newest
 * first, leads from there to the context longer by that symbol, for as long as that occurs.
 */

import { float, int, list, record } from "../schema.js";
import { type Architecture, combination, combinations, count, type Kind } from "./base.js";

interface NGram {
    parameters: number;
    order: number;
    discounts: number[];
    states: number;
    inner_states: number;
}

const states = int(1, 1 << 23);
const schema = record<NGram>({
    parameters: count,
    order: int(1, 64),
    discounts: list(float(1e-6, 1), 1),
    states,
    inner_states: states,
});

export const ngram: Kind = {
    kind: "ngram",
    of: (value, path): Architecture => {
        const own = schema(value, path);
        return {
            model: "ngram",
            ...own,
            tensors(inputs) {
                if (own.order > inputs.blockSize + 1) {
                    throw new Error(`order ${own.order}, too high for block_size ${inputs.blockSize}`);
                }
                return new Map([
                    ...(inputs.values.length ? ([["start", [combinations(inputs)]]] as const) : []),
                    ["longer", [own.inner_states * inputs.ids]],
                    ["table", [own.states, inputs.ids]],
                ] as [string, number[]][]);
            },
            network(arithmetic, inputs) {
                const { blockSize, ids } = inputs;
                const steps = arithmetic.tensor("longer");
                const newest = arithmetic.symbol(blockSize - 1);
                let state = newest;
                let longer = newest;
                if (inputs.values.length) {
                    state = arithmetic.lookUp("start", arithmetic.tensor("start"), combination(arithmetic, inputs));
                    longer = arithmetic.lookUp("longer.1", steps, arithmetic.numbered("step.1", state, ids, newest));
                    state = arithmetic.maximum("state.1", state, longer);
                } else {
                    state = longer = arithmetic.lookUp("state.1", steps, newest);
                }
                let known = arithmetic.clip("known.1", longer, 0, 1);
                for (let age = 2; age < own.order; age++) {
                    const step = arithmetic.numbered(`step.${age}`, state, ids, arithmetic.symbol(blockSize - age));
                    longer = arithmetic.lookUp(`longer.${age}`, steps, step);
                    known = arithmetic.multiply(`known.${age}`, known, arithmetic.clip("", longer, 0, 1));
                    const reached = arithmetic.multiply(`reached.${age}`, longer, known);
                    state = arithmetic.maximum(`state.${age}`, state, reached);
                }
                return arithmetic.lookUp("steps", arithmetic.tensor("table"), state);
            },
        };
    },
};
