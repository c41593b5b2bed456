/**
 * Counts of n-grams with interpolated Kneser-Ney smoothing, as tables over states.
 *
 * A state is a context that occurs in the list, of any length below the order. Each symbol of a context, the newest
 * first, leads from there to the context longer by that symbol, for as long as that occurs.
 */

import { any, int, list, record } from "../schema.js";
import { checkMost, combination, combinations, count, kind, longestKnown, states } from "./base.js";

const schema = record({ parameters: count, order: int(1, 64), discounts: list(any, 1), states, inner_states: states });

export const ngram = kind("ngram", schema, ({ order, states, inner_states }, arithmetic, inputs) => {
    const { blockSize, ids, values } = inputs;
    checkMost("order", order, blockSize + 1);
    const start = values.length
        ? arithmetic.lookUp(arithmetic.tensor("start", combinations(inputs)), combination(arithmetic, inputs))
        : undefined;
    const state = longestKnown(arithmetic, "longer", inner_states, order - 1, inputs, start);
    return arithmetic.lookUp(arithmetic.tensor("table", states, ids), state);
});
