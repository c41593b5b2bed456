/** What every kind of model has, and the parts of networks that several kinds share. */

import type { Arithmetic, Inputs } from "../arithmetic/base.js";
import { checkMost } from "../errors.js";
import { type Check, int } from "../schema.js";

/** The network of a model. */
export interface Architecture {
    /** The kind of model. */
    readonly model: string;
    /** Number of learnt parameters; of an n-gram model, the number of counts. */
    readonly parameters: number;
    /**
     * Return the logits after a context, stated with the operations of whole-number arithmetic.
     *
     * @throws Error if a network of this kind cannot read the inputs.
     */
    network<V>(arithmetic: Arithmetic<V>, inputs: Inputs): V;
}

/** A kind of model. */
export interface Kind {
    /** The value of the key `model` of `architecture` in `config.json`. */
    readonly model: string;
    /** Return the network that the other keys of `architecture` describe. */
    readonly of: Check<Architecture>;
}

/**
 * Return a kind of model.
 *
 * @param schema - of the keys of `architecture`.
 * @param network - states the network that they describe; see {@link Architecture.network}.
 */
export function kind<T extends { parameters: number }>(
    model: string,
    schema: Check<T>,
    network: <V>(own: T, arithmetic: Arithmetic<V>, inputs: Inputs) => V,
): Kind {
    return {
        model,
        of: (value, path) => {
            const own = schema(value, path);
            return { model, ...own, network: (arithmetic, inputs) => network(own, arithmetic, inputs) };
        },
    };
}

export const count = int(0);

/** A whole number *n* in steps of 2^-bits stands for *n* / 2^bits. */
export const bits = int(0, 23);
export const width = int(1, 65_536);
export const largest = int(1, 65_535);

const MAX_COMBINATIONS = 1 << 16;

/** Return how many combinations of values the conditions may have. */
export function combinations({ values }: Inputs): number {
    const number = values.reduce((product, each) => product * each, 1);
    checkMost("combinations of conditions", number, MAX_COMBINATIONS);
    return number;
}

/** Return which combination of values the conditions have: the values are digits, that of the last one lowest. */
export function combination<V>(arithmetic: Arithmetic<V>, { values }: Inputs): V {
    return values
        .map((_, column) => arithmetic.condition(column))
        .reduce((row, value, column) => arithmetic.numbered(row, values[column], value));
}

/** Return the product of numbers and a weight matrix whose lowest bits may stand apart, in steps of the others. */
export function splitProduct<V>(arithmetic: Arithmetic<V>, name: string, x: V, shape: number[], lowBits: number): V {
    const part = (suffix: string): V => arithmetic.product(x, arithmetic.tensor(`${name}.weight${suffix}`, ...shape));
    return lowBits ? arithmetic.add(part(""), arithmetic.shift(part(".low"), lowBits)) : part("");
}
