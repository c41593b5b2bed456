/** A recurrent network: one layer of gated recurrent units (Cho et al. 2014). */

import { type Arithmetic, type Inputs, LOGIT_BITS } from "../arithmetic/base.js";
import { checkMost } from "../errors.js";
import { record } from "../schema.js";
import { bits, combination, combinations, count, kind, largest, splitProduct, width } from "./base.js";

const MAX_PLACES = 256;

const schema = record({
    parameters: count,
    embedding_dim: width,
    hidden_size: width,
    position_bits: bits,
    largest_sigmoid: largest,
    largest_tanh: largest,
    gate_bits: bits,
    state_bits: bits,
    weight_bits: bits,
    low_bits: bits,
    output_bits: bits,
    output_low_bits: bits,
});

export const gru = kind(
    "gru",
    schema,
    <V>(own: ReturnType<typeof schema>, arithmetic: Arithmetic<V>, inputs: Inputs): V => {
        const { blockSize, ids, values } = inputs;
        const { hidden_size: units, gate_bits, state_bits, low_bits } = own;
        checkMost("block_size", blockSize, MAX_PLACES);
        const starts = arithmetic.tensor("start", combinations(inputs), units);
        let state = values.length ? arithmetic.lookUp(starts, combination(arithmetic, inputs)) : starts;

        /** Return a gate: what its sums for a symbol come to, and what the state adds to them. */
        const gate = (name: string) => {
            const given = arithmetic.tensor(`${name}.given`, ids, units);
            const said = values.map((rows, i) =>
                arithmetic.lookUp(arithmetic.tensor(`${name}.condition.${i}`, rows, units), arithmetic.condition(i)),
            );
            const added = said.length ? said.reduce((a, b) => arithmetic.add(a, b)) : undefined;
            const isNew = name === "new";
            const [table, last] = isNew
                ? (["tanh", own.largest_tanh] as const)
                : (["sigmoid", own.largest_sigmoid] as const);
            return {
                own: (): V => {
                    const product = splitProduct(arithmetic, name, state, [units, units], low_bits);
                    return arithmetic.shift(product, state_bits + own.weight_bits - low_bits - own.position_bits);
                },
                units: (symbol: V, sums: V): V => {
                    const row = arithmetic.lookUp(given, symbol);
                    const all = arithmetic.add(added ? arithmetic.add(row, added) : row, sums);
                    return arithmetic.lookUp(arithmetic.tensor(table, last + 1), arithmetic.clip(all, 0, last));
                },
            };
        };

        const [reset, update, fresh] = ["reset", "update", "new"].map(gate);
        const bias = arithmetic.tensor("new.bias", units);
        for (let place = 0; place < blockSize; place++) {
            const symbol = arithmetic.symbol(place);
            const shown = arithmetic.multiply(reset.units(symbol, reset.own()), arithmetic.add(fresh.own(), bias));
            const kept = update.units(symbol, update.own());
            const next = fresh.units(symbol, arithmetic.shift(shown, gate_bits));
            const change = arithmetic.multiply(kept, arithmetic.subtract(state, next));
            state = arithmetic.add(next, arithmetic.shift(change, gate_bits));
            state = arithmetic.clip(state, -(2 ** state_bits), 2 ** state_bits);
        }
        const sums = splitProduct(arithmetic, "output", state, [units, ids], own.output_low_bits);
        const shift = state_bits + own.output_bits - own.output_low_bits - LOGIT_BITS;
        return arithmetic.shift(arithmetic.add(sums, arithmetic.tensor("output.bias", ids)), shift);
    },
);
