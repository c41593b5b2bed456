/** Counts of n-grams with interpolated Kneser-Ney smoothing, as a table over the contexts that occur in the list. */

import { checkMost } from "../errors.js";
import { any, int, list, record } from "../schema.js";
import { combination, combinations, count, kind } from "./base.js";
import { rowOfLongest, tree } from "./tree.js";

const schema = record({ parameters: count, order: int(1, 64), discounts: list(any, 1), tree });

export const ngram = kind("ngram", schema, (own, arithmetic, inputs) => {
    checkMost("order", own.order, inputs.blockSize + 1);
    const start = inputs.values.length
        ? arithmetic.lookUp(arithmetic.tensor("start", combinations(inputs)), combination(arithmetic, inputs))
        : undefined;
    return rowOfLongest(arithmetic, "table", own.tree, own.order - 1, inputs, start);
});
