/** The feed-forward network of Bengio et al. 2003: embeddings, hidden layers, and perhaps direct connections. */

import { type Arithmetic, type Inputs, LOGIT_BITS } from "../arithmetic/base.js";
import { int, list, nullable, oneOf, optional, record, refuse } from "../schema.js";
import { type Architecture, bits, count, type Kind, largest, type Shapes, splitProduct, splitWeight, width } from "./base.js";

interface Layer {
    position_bits: number;
    largest: number;
    unit_bits: number;
    weight_bits: number;
    low_bits: number;
}

interface Skip {
    embedding_bits: number;
    weight_bits: number;
    low_bits: number;
}

interface MLP {
    parameters: number;
    embedding_dim: number;
    hidden_sizes: number[];
    activation: "tanh" | "relu" | "gelu";
    batch_norm: "none" | "hidden" | "all";
    direct: number;
    first_bits: number;
    layers: Layer[];
    direct_bits: number;
    skip: Skip | null;
}

const MAX_LAYERS = 256;

const schema = record<MLP>({
    parameters: count,
    embedding_dim: width,
    hidden_sizes: list(width, 1, MAX_LAYERS),
    activation: oneOf("tanh", "relu", "gelu"),
    batch_norm: oneOf("none", "hidden", "all"),
    direct: int(0, 8),
    first_bits: bits,
    layers: list(
        record<Layer>({
            position_bits: bits,
            largest,
            unit_bits: bits,
            weight_bits: bits,
            low_bits: optional(bits, 0),
        }),
        1,
        MAX_LAYERS,
    ),
    direct_bits: bits,
    skip: optional(
        nullable(record<Skip>({ embedding_bits: bits, weight_bits: bits, low_bits: optional(bits, 0) })),
        null,
    ),
});

function shapes(own: MLP, { blockSize, ids, values }: Inputs): Shapes {
    if (own.direct > blockSize) {
        throw new Error(`direct ${own.direct}, more than block_size ${blockSize}`);
    }
    const [first] = own.hidden_sizes;
    const found: Shapes = new Map();
    for (let place = 0; place < blockSize; place++) {
        found.set(`first.${place}`, [ids, first]);
    }
    for (const [column, rows] of values.entries()) {
        found.set(`condition.${column}`, [rows, first]);
    }
    for (const [number, layer] of own.layers.entries()) {
        const shape = [own.hidden_sizes[number], own.hidden_sizes[number + 1] ?? ids];
        if (own.activation !== "relu") {
            found.set(`layer.${number}.activation`, [layer.largest + 1]);
        }
        for (const [name, each] of splitWeight(`layer.${number}`, shape, layer.low_bits)) {
            found.set(name, each);
        }
        found.set(`layer.${number}.bias`, shape.slice(1));
    }
    if (own.direct) {
        found.set("direct", [ids ** own.direct, ids]);
    }
    if (own.skip) {
        found.set("skip.embedding", [ids, own.embedding_dim]);
        for (let place = 0; place < blockSize; place++) {
            for (const [name, each] of splitWeight(`skip.${place}`, [own.embedding_dim, ids], own.skip.low_bits)) {
                found.set(name, each);
            }
        }
    }
    return found;
}

function logits<V>(own: MLP, arithmetic: Arithmetic<V>, inputs: Inputs): V {
    const { blockSize, ids } = inputs;
    let sums = firstSums(arithmetic, inputs);
    let sumBits = own.first_bits;
    for (const [number, layer] of own.layers.entries()) {
        const name = `layer.${number}`;
        const rounded = arithmetic.shift(`${name}.rounded`, sums, sumBits - layer.position_bits);
        let units = arithmetic.clip(`${name}.position`, rounded, 0, layer.largest);
        if (own.activation !== "relu") {
            units = arithmetic.lookUp(`${name}.units`, arithmetic.tensor(`${name}.activation`), units);
        }
        sums = splitProduct(arithmetic, name, units, layer.low_bits);
        sums = arithmetic.add(`${name}.sums`, sums, arithmetic.tensor(`${name}.bias`));
        sumBits = layer.unit_bits + layer.weight_bits - layer.low_bits;
    }
    let steps = arithmetic.shift("steps", sums, sumBits - LOGIT_BITS);
    if (own.direct) {
        let row = arithmetic.symbol(blockSize - own.direct);
        for (let place = blockSize - own.direct + 1; place < blockSize; place++) {
            row = arithmetic.numbered(`row.${place}`, row, ids, arithmetic.symbol(place));
        }
        const direct = arithmetic.lookUp("direct.row", arithmetic.tensor("direct"), row);
        const rounded = arithmetic.shift("direct.steps", direct, own.direct_bits - LOGIT_BITS);
        steps = arithmetic.add("all.steps", steps, rounded);
    }
    if (own.skip) {
        const skipBits = own.skip.embedding_bits + own.skip.weight_bits - own.skip.low_bits;
        const embedding = arithmetic.tensor("skip.embedding");
        for (let place = 0; place < blockSize; place++) {
            const name = `skip.${place}`;
            const vector = arithmetic.lookUp(`${name}.vector`, embedding, arithmetic.symbol(place));
            const product = splitProduct(arithmetic, name, vector, own.skip.low_bits);
            const rounded = arithmetic.shift(`${name}.steps`, product, skipBits - LOGIT_BITS);
            steps = arithmetic.add(`${name}.all`, steps, rounded);
        }
    }
    return steps;
}

/** Return the first layer's sums: what each symbol of the context and each condition's value contribute. */
function firstSums<V>(arithmetic: Arithmetic<V>, { blockSize, values }: Inputs): V {
    const row = (name: string, index: V): V => arithmetic.lookUp(`${name}.row`, arithmetic.tensor(name), index);
    let sums = row("first.0", arithmetic.symbol(0));
    for (let place = 1; place < blockSize; place++) {
        sums = arithmetic.add(`first.sums.${place}`, sums, row(`first.${place}`, arithmetic.symbol(place)));
    }
    for (let column = 0; column < values.length; column++) {
        const added = row(`condition.${column}`, arithmetic.condition(column));
        sums = arithmetic.add(`condition.sums.${column}`, sums, added);
    }
    return sums;
}

export const mlp: Kind = {
    kind: "mlp",
    of: (value, path): Architecture => {
        const own = schema(value, path);
        if (own.layers.length !== own.hidden_sizes.length) {
            refuse(`${own.layers.length} layers for ${own.hidden_sizes.length} hidden_sizes`, path);
        }
        return {
            model: "mlp",
            ...own,
            tensors: (inputs) => shapes(own, inputs),
            network: (arithmetic, inputs) => logits(own, arithmetic, inputs),
        };
    },
};
