/** The contexts that a model knows, as a tree. */

import type { Arithmetic, Inputs } from "../arithmetic/base.js";
import { checkMost } from "../errors.js";
import { int, record } from "../schema.js";

/** How large a tree is; its first states may have steps. */
export interface Tree {
    states: number;
    inner_states: number;
    edges: number;
}

const size = int(1, 1 << 23);

export const tree = record<Tree>({ states: size, inner_states: size, edges: size });

/**
 * Return a row of a table: that of the longest known context that a context ends in.
 *
 * A known context is a state, and has a higher number than those that it ends in. Each symbol of a context, the newest
 * first, leads from there to the context longer by that symbol, for as long as that is known. Two tensors beside the
 * table hold these steps, in the order of `state * ids + symbol`: `gaps` how far each such place is behind the one
 * before it, and `reached` the state that the step leads to.
 *
 * @param name - that of the table, which has a row for each state.
 * @param most - symbols in the longest known contexts.
 * @param start - the state that stands for the empty context; 0 by default.
 */
export function rowOfLongest<V>(
    arithmetic: Arithmetic<V>,
    name: string,
    { states, inner_states, edges }: Tree,
    most: number,
    { blockSize, ids }: Inputs,
    start?: V,
): V {
    checkMost("inner_states", inner_states, states);
    const table = arithmetic.tensor(name, states, ids);
    const next = arithmetic.scattered(
        (inner_states + 1) * ids, // one row for all states without steps
        arithmetic.tensor(`${name}.gaps`, edges),
        arithmetic.tensor(`${name}.reached`, edges),
    );
    const newest = arithmetic.symbol(blockSize - 1);
    let longer = arithmetic.lookUp(next, start ? arithmetic.numbered(start, ids, newest) : newest);
    let state = start ? arithmetic.maximum(start, longer) : longer;
    for (let age = 2; age <= most; age++) {
        const before = arithmetic.clip(longer, 0, inner_states);
        const found = arithmetic.lookUp(next, arithmetic.numbered(before, ids, arithmetic.symbol(blockSize - age)));
        longer = arithmetic.multiply(found, arithmetic.clip(longer, 0, 1)); // 0 from the first unknown context on
        state = arithmetic.maximum(state, longer);
    }
    return arithmetic.lookUp(table, state);
}
