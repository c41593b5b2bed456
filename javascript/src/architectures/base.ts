/** What every kind of model has, and the parts of networks that several kinds share. */

import type { Arithmetic, Inputs } from "../arithmetic/base.js";
import { fail } from "../errors.js";
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
export const states = int(1, 1 << 23);
export const width = int(1, 65_536);
export const largest = int(1, 65_535);

/** Check that something is not greater than a network can read. */
export function checkMost(what: string, value: number, most: number): void {
    if (value > most) {
        fail(`${what} ${value}, more than ${most}`);
    }
}

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

/**
 * Return the state of the longest known context that a context ends in.
 *
 * A state is a known context, and has a higher number than those that it ends in. Each symbol of a context, the newest
 * first, leads from there to the context longer by that symbol, for as long as that is known.
 *
 * @param name - that of a tensor: at `state * ids + symbol` the state reached, 0 where there is none.
 * @param inner - how many states it has a row for; the last row stands for all others.
 * @param most - symbols in the longest known contexts.
 * @param start - the state that stands for the empty context; 0 by default.
 */
export function longestKnown<V>(
    arithmetic: Arithmetic<V>,
    name: string,
    inner: number,
    most: number,
    { blockSize, ids }: Inputs,
    start?: V,
): V {
    const steps = arithmetic.tensor(name, inner * ids);
    const newest = arithmetic.symbol(blockSize - 1);
    let longer = arithmetic.lookUp(steps, start === undefined ? newest : arithmetic.numbered(start, ids, newest));
    let state = start === undefined ? longer : arithmetic.maximum(start, longer);
    let known = arithmetic.clip(longer, 0, 1);
    for (let age = 2; age <= most; age++) {
        const before = arithmetic.clip(state, 0, inner - 1);
        longer = arithmetic.lookUp(steps, arithmetic.numbered(before, ids, arithmetic.symbol(blockSize - age)));
        known = arithmetic.multiply(known, arithmetic.clip(longer, 0, 1));
        state = arithmetic.maximum(state, arithmetic.multiply(longer, known));
    }
    return state;
}

/** Return the product of numbers and a weight matrix whose lowest bits may stand apart, in steps of the others. */
export function splitProduct<V>(arithmetic: Arithmetic<V>, name: string, x: V, shape: number[], lowBits: number): V {
    const part = (suffix: string): V => arithmetic.product(x, arithmetic.tensor(`${name}.weight${suffix}`, ...shape));
    return lowBits ? arithmetic.add(part(""), arithmetic.shift(part(".low"), lowBits)) : part("");
}
