/** The feed-forward network of Bengio et al. 2003: embeddings, hidden layers, and perhaps direct connections. */

import { LOGIT_BITS } from "../arithmetic/base.js";
import { checkMost, fail } from "../errors.js";
import { int, list, nullable, oneOf, record } from "../schema.js";
import { bits, count, kind, largest, splitProduct, width } from "./base.js";
import { rowOfLongest, type Tree, tree } from "./tree.js";

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
    tree: Tree | null;
    skip: Skip | null;
}

const MAX_LAYERS = 256;
const weights = { weight_bits: bits, low_bits: [bits, 0] as [typeof bits, number] };

const schema = record<MLP>({
    parameters: count,
    embedding_dim: width,
    hidden_sizes: list(width, 1, MAX_LAYERS),
    activation: oneOf("tanh", "relu", "gelu"),
    batch_norm: oneOf("none", "hidden", "all"),
    direct: int(0, 8),
    first_bits: bits,
    layers: list(record<Layer>({ position_bits: bits, largest, unit_bits: bits, ...weights }), 1, MAX_LAYERS),
    direct_bits: bits,
    tree: [nullable(tree), null],
    skip: [nullable(record<Skip>({ embedding_bits: bits, ...weights })), null],
});

export const mlp = kind("mlp", schema, (own, arithmetic, inputs) => {
    const { blockSize, ids, values } = inputs;
    const { hidden_sizes, layers, direct, tree, skip } = own;
    checkMost("direct", direct, blockSize);
    if (layers.length !== hidden_sizes.length || (tree && !direct)) {
        fail("layers or a tree that the sizes contradict");
    }
    const places = Array.from({ length: blockSize }, (_, place) => arithmetic.symbol(place));

    // What each symbol of the context and each condition's value contribute to the first layer's sums.
    let sums = [
        ...places.map((symbol, i) => arithmetic.lookUp(arithmetic.tensor(`first.${i}`, ids, hidden_sizes[0]), symbol)),
        ...values.map((rows, i) =>
            arithmetic.lookUp(arithmetic.tensor(`condition.${i}`, rows, hidden_sizes[0]), arithmetic.condition(i)),
        ),
    ].reduce((a, b) => arithmetic.add(a, b));
    let sumBits = own.first_bits;
    layers.forEach((layer, i) => {
        const name = `layer.${i}`;
        const widthAfter = hidden_sizes[i + 1] ?? ids;
        const rounded = arithmetic.shift(sums, sumBits - layer.position_bits);
        let units = arithmetic.clip(rounded, 0, layer.largest);
        if (own.activation !== "relu") {
            units = arithmetic.lookUp(arithmetic.tensor(`${name}.activation`, layer.largest + 1), units);
        }
        sums = splitProduct(arithmetic, name, units, [hidden_sizes[i], widthAfter], layer.low_bits);
        sums = arithmetic.add(sums, arithmetic.tensor(`${name}.bias`, widthAfter));
        sumBits = layer.unit_bits + layer.weight_bits - layer.low_bits;
    });

    let logits = arithmetic.shift(sums, sumBits - LOGIT_BITS);
    if (direct) {
        const row = tree
            ? rowOfLongest(arithmetic, "direct", tree, direct, inputs)
            : arithmetic.lookUp(
                  arithmetic.tensor("direct", ids ** direct, ids),
                  places.slice(-direct).reduce((row, symbol) => arithmetic.numbered(row, ids, symbol)),
              );
        logits = arithmetic.add(logits, arithmetic.shift(row, own.direct_bits - LOGIT_BITS));
    }
    if (skip) {
        const shift = skip.embedding_bits + skip.weight_bits - skip.low_bits - LOGIT_BITS;
        const embedding = arithmetic.tensor("skip.embedding", ids, own.embedding_dim);
        places.forEach((symbol, i) => {
            const vector = arithmetic.lookUp(embedding, symbol);
            const product = splitProduct(arithmetic, `skip.${i}`, vector, [own.embedding_dim, ids], skip.low_bits);
            logits = arithmetic.add(logits, arithmetic.shift(product, shift));
        });
    }
    return logits;
});
