/** The bigram model: a table of logits, a row for each symbol that may come before. */

import { checkMost } from "../errors.js";
import { record } from "../schema.js";
import { count, kind } from "./base.js";

export const bigram = kind("bigram", record<{ parameters: number }>({ parameters: count }), (_, arithmetic, inputs) => {
    const { blockSize, ids, values } = inputs;
    checkMost("conditions", values.length, 0);
    return arithmetic.lookUp(arithmetic.tensor("table", ids, ids), arithmetic.symbol(blockSize - 1));
});
