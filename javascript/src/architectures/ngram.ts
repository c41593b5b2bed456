/**
 * Counts of n-grams with interpolated Kneser-Ney smoothing, as tables over states.
 *
 * A state is a context that occurs in the list, of any length below the order. Each symbol of a context, the newest
 * first, leads from there to the context longer by that symbol, for as long as that occurs.
 */

import { any, int, list, record } from "../schema.js";
import { checkMost, combination, combinations, count, kind } from "./base.js";

const states = int(1, 1 << 23);
const schema = record({ parameters: count, order: int(1, 64), discounts: list(any, 1), states, inner_states: states });

export const ngram = kind("ngram", schema, ({ order, states, inner_states }, arithmetic, inputs) => {
    const { blockSize, ids, values } = inputs;
    checkMost("order", order, blockSize + 1);
    const steps = arithmetic.tensor("longer", inner_states * ids);
    const newest = arithmetic.symbol(blockSize - 1);
    let longer = arithmetic.lookUp(steps, newest);
    let state = longer;
    if (values.length) {
        const start = arithmetic.tensor("start", combinations(inputs));
        state = arithmetic.lookUp(start, combination(arithmetic, inputs));
        longer = arithmetic.lookUp(steps, arithmetic.numbered(state, ids, newest));
        state = arithmetic.maximum(state, longer);
    }
    let known = arithmetic.clip(longer, 0, 1);
    for (let age = 2; age < order; age++) {
        longer = arithmetic.lookUp(steps, arithmetic.numbered(state, ids, arithmetic.symbol(blockSize - age)));
        known = arithmetic.multiply(known, arithmetic.clip(longer, 0, 1));
        state = arithmetic.maximum(state, arithmetic.multiply(longer, known));
    }
    return arithmetic.lookUp(arithmetic.tensor("table", states, ids), state);
});
