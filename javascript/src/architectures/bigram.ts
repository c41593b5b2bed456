/** The bigram model: a table of logits, a row for each symbol that may come before. */

import { record } from "../schema.js";
import { type Architecture, count, type Kind } from "./base.js";

const schema = record<{ parameters: number }>({ parameters: count });

export const bigram: Kind = {
    kind: "bigram",
    of: (value, path): Architecture => ({
        model: "bigram",
        ...schema(value, path),
        tensors({ ids, values }) {
            if (values.length) {
                throw new Error("a bigram model with conditions");
            }
            return new Map([["table", [ids, ids]]]);
        },
        network(arithmetic, { blockSize }) {
            return arithmetic.lookUp("row", arithmetic.tensor("table"), arithmetic.symbol(blockSize - 1));
        },
    }),
};
