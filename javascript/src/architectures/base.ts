/** What every kind of model has, and the parts of networks that several kinds share. */

import type { Arithmetic, Inputs } from "../arithmetic/base.js";
import { grouped } from "../errors.js";
import { type Check, int } from "../schema.js";

/** The shape of each tensor of `model.safetensors`, by name. */
export type Shapes = Map<string, number[]>;

/** The network of a model. */
export interface Architecture {
    /** The kind of model. */
    readonly model: string;
    /** Number of learnt parameters; of an n-gram model, the number of counts. */
    readonly parameters: number;
    /**
     * Return the shape of every tensor.
     *
     * @throws Error if a network of this kind cannot read the inputs.
     */
    tensors(inputs: Inputs): Shapes;
    /** Return the logits after a context, stated with the operations of whole-number arithmetic. */
    network<V>(arithmetic: Arithmetic<V>, inputs: Inputs): V;
}

/** A kind of model. */
export interface Kind {
    /** The value of the key `model` of `architecture` in `config.json`. */
    readonly kind: string;
    /** Return the network that the other keys of `architecture` describe. */
    readonly of: Check<Architecture>;
}

export const count = int(0);

/** A whole number *n* in steps of 2^-bits stands for *n* / 2^bits. */
export const bits = int(0, 23);
export const width = int(1, 65_536);
export const largest = int(1, 65_535);

const MAX_COMBINATIONS = 1 << 16;

/** Return how many combinations of values the conditions may have. */
export function combinations(inputs: Inputs): number {
    const number = inputs.values.reduce((product, values) => product * values, 1);
    if (number > MAX_COMBINATIONS) {
        throw new Error(
            `conditions of ${grouped(number)} combinations of values, more than ${grouped(MAX_COMBINATIONS)} for this kind of model`,
        );
    }
    return number;
}

/** Return which combination of values the conditions have: the values are digits, that of the last one lowest. */
export function combination<V>(arithmetic: Arithmetic<V>, inputs: Inputs): V {
    let row = arithmetic.condition(0);
    for (let column = 1; column < inputs.values.length; column++) {
        const value = arithmetic.condition(column);
        row = arithmetic.numbered(`combination.${column}`, row, inputs.values[column], value);
    }
    return row;
}

/** Return the tensors of a weight matrix: `weight`, and `weight.low` if its lowest bits stand apart. */
export function splitWeight(name: string, shape: number[], lowBits: number): [string, number[]][] {
    return [`${name}.weight`, ...(lowBits ? [`${name}.weight.low`] : [])].map((each) => [each, shape]);
}

/** Return the product of numbers and a weight matrix whose lowest bits may stand apart, in steps of the others. */
export function splitProduct<V>(arithmetic: Arithmetic<V>, name: string, x: V, lowBits: number): V {
    const product = arithmetic.product(`${name}.product`, x, arithmetic.tensor(`${name}.weight`));
    if (!lowBits) {
        return product;
    }
    const low = arithmetic.product(`${name}.product.low`, x, arithmetic.tensor(`${name}.weight.low`));
    return arithmetic.add(`${name}.product.both`, product, arithmetic.shift(`${name}.product.high`, low, lowBits));
}
