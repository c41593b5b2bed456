/** A recurrent network: one layer of gated recurrent units (Cho et al. 2014). */

import { type Arithmetic, type Inputs, LOGIT_BITS } from "../arithmetic/base.js";
import { record } from "../schema.js";
import {
    type Architecture,
    bits,
    combination,
    combinations,
    count,
    type Kind,
    largest,
    type Shapes,
    splitProduct,
    splitWeight,
    width,
} from "./base.js";

interface GRU {
    parameters: number;
    embedding_dim: number;
    hidden_size: number;
    position_bits: number;
    largest_sigmoid: number;
    largest_tanh: number;
    gate_bits: number;
    state_bits: number;
    weight_bits: number;
    low_bits: number;
    output_bits: number;
    output_low_bits: number;
}

const GATES = ["reset", "update", "new"] as const;
const MAX_PLACES = 256;

const schema = record<GRU>({
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

function shapes(own: GRU, inputs: Inputs): Shapes {
    const { blockSize, ids, values } = inputs;
    if (blockSize > MAX_PLACES) {
        throw new Error(`a recurrent network of block_size ${blockSize}, more than ${MAX_PLACES}`);
    }
    const units = own.hidden_size;
    return new Map([
        ["sigmoid", [own.largest_sigmoid + 1]],
        ["tanh", [own.largest_tanh + 1]],
        ["start", [combinations(inputs), units]],
        ["new.bias", [units]],
        ...GATES.flatMap((gate): [string, number[]][] => [
            [`${gate}.given`, [ids, units]],
            ...values.map((rows, column): [string, number[]] => [`${gate}.condition.${column}`, [rows, units]]),
            ...splitWeight(gate, [units, units], own.low_bits),
        ]),
        ...splitWeight("output", [units, ids], own.output_low_bits),
        ["output.bias", [ids]],
    ]);
}

function logits<V>(own: GRU, arithmetic: Arithmetic<V>, inputs: Inputs): V {
    let state = arithmetic.tensor("start");
    const said = new Map<string, V>();
    if (inputs.values.length) {
        state = arithmetic.lookUp("start.row", state, combination(arithmetic, inputs));
        for (const gate of GATES) {
            const [first, ...others] = inputs.values.map((_, column) => {
                const table = arithmetic.tensor(`${gate}.condition.${column}`);
                return arithmetic.lookUp(`${gate}.condition.row.${column}`, table, arithmetic.condition(column));
            });
            const sum = others.reduce((sums, row) => arithmetic.add(`${gate}.condition.sums`, sums, row), first);
            said.set(gate, sum);
        }
    }
    for (let place = 0; place < inputs.blockSize; place++) {
        state = read(own, arithmetic, state, arithmetic.symbol(place), said);
    }
    let sums = splitProduct(arithmetic, "output", state, own.output_low_bits);
    sums = arithmetic.add("output.sums", sums, arithmetic.tensor("output.bias"));
    return arithmetic.shift("steps", sums, own.state_bits + own.output_bits - own.output_low_bits - LOGIT_BITS);
}

/** Return the state after one more symbol. */
function read<V>(own: GRU, arithmetic: Arithmetic<V>, state: V, symbol: V, said: Map<string, V>): V {
    const shifted = own.state_bits + own.weight_bits - own.low_bits - own.position_bits;
    const ownSums = (gate: string): V =>
        arithmetic.shift(`${gate}.own`, splitProduct(arithmetic, gate, state, own.low_bits), shifted);
    const activated = (gate: string, sums: V, table: string, largest: number): V => {
        let given = arithmetic.lookUp(`${gate}.given`, arithmetic.tensor(`${gate}.given`), symbol);
        const added = said.get(gate);
        if (added !== undefined) {
            given = arithmetic.add(`${gate}.all`, given, added);
        }
        const position = arithmetic.clip("", arithmetic.add(`${gate}.sums`, given, sums), 0, largest);
        return arithmetic.lookUp(`${gate}.units`, arithmetic.tensor(table), position);
    };

    const reset = activated("reset", ownSums("reset"), "sigmoid", own.largest_sigmoid);
    const update = activated("update", ownSums("update"), "sigmoid", own.largest_sigmoid);
    let shown = arithmetic.add("new.biased", ownSums("new"), arithmetic.tensor("new.bias"));
    shown = arithmetic.shift("new.shown", arithmetic.multiply("new.reset", reset, shown), own.gate_bits);
    const fresh = activated("new", shown, "tanh", own.largest_tanh);
    const kept = arithmetic.multiply("kept", update, arithmetic.subtract("change", state, fresh));
    const after = arithmetic.add("after", fresh, arithmetic.shift("kept.steps", kept, own.gate_bits));
    return arithmetic.clip("state", after, -(2 ** own.state_bits), 2 ** own.state_bits);
}

export const gru: Kind = {
    kind: "gru",
    of: (value, path): Architecture => {
        const own = schema(value, path);
        return {
            model: "gru",
            ...own,
            tensors: (inputs) => shapes(own, inputs),
            network: (arithmetic, inputs) => logits(own, arithmetic, inputs),
        };
    },
};
