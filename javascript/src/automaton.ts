/** Deterministic automata over a vocabulary's ids: of all names, of a suffix, of strings to avoid, and their product. */

export const MAX_TRANSITIONS = 1 << 22;

/** An automaton has more states than allowed. */
export class TooManyStatesError extends Error {}

/** A deterministic automaton that starts in state 0; from state -1 no match can be reached. */
export interface Automaton {
    /** Number of states, without -1. */
    states: number;
    /** The next state by state and id, in rows of as many as there are ids. */
    transitions: Int32Array;
    /** Whether a name may end in each state. */
    accepting: boolean[];
}

/** Return the automaton that accepts every name; `ids` is the number of ids, the boundary included. */
export function matchAll(ids: number): Automaton {
    return { states: 1, transitions: new Int32Array(ids), accepting: [true] };
}

/**
 * Return the automaton of the names that end in some ids (Knuth, Morris and Pratt 1977).
 *
 * A state is the number of ids of the suffix that were read last.
 */
export function matchSuffix(suffix: readonly number[], ids: number): Automaton {
    const states = suffix.length + 1;
    const transitions = new Int32Array(states * ids);
    let shorter = 0; // the state after the suffix so far without its first id
    for (let length = 0; length < states; length++) {
        const row = length * ids;
        if (length) {
            transitions.copyWithin(row, shorter * ids, (shorter + 1) * ids);
        }
        if (length < suffix.length) {
            if (length) {
                shorter = transitions[row + suffix[length]];
            }
            transitions[row + suffix[length]] = length + 1;
        }
    }
    return { states, transitions, accepting: Array.from({ length: states }, (_, state) => state === suffix.length) };
}

/**
 * Return the automaton of the names that contain none of some strings of ids (Aho and Corasick 1975).
 *
 * A state is the longest start of a string that was read last.
 *
 * @throws {@link TooManyStatesError} if the strings have too many different beginnings.
 */
export function matchNoneOf(strings: readonly (readonly number[])[], ids: number): Automaton {
    const longer: Map<number, number>[] = [new Map()]; // by state: the states of beginnings with one more id
    const ends: number[][] = [[]]; // by state: the ids that complete a string
    for (const string of strings) {
        let state = 0;
        for (const id of string.slice(0, -1)) {
            let after = longer[state].get(id);
            if (after === undefined) {
                after = longer.length;
                longer[state].set(id, after);
                longer.push(new Map());
                ends.push([]);
                if (longer.length * ids > MAX_TRANSITIONS) {
                    throw new TooManyStatesError();
                }
            }
            state = after;
        }
        ends[state].push(string[string.length - 1]);
    }
    const states = longer.length;
    const transitions = new Int32Array(states * ids);
    const shorter = new Int32Array(states); // the longest beginning that a beginning ends in, itself excluded
    const pending = [0]; // in the order of their lengths
    for (const state of pending) {
        const row = state * ids;
        if (state) {
            transitions.copyWithin(row, shorter[state] * ids, (shorter[state] + 1) * ids);
        }
        for (const [id, after] of longer[state]) {
            if (transitions[row + id] >= 0) {
                // else a shorter string ends here
                shorter[after] = state ? transitions[row + id] : 0;
                transitions[row + id] = after;
            }
            pending.push(after);
        }
        for (const id of ends[state]) {
            transitions[row + id] = -1;
        }
    }
    return { states, transitions, accepting: Array(states).fill(true) };
}

/**
 * Return the automaton of the names that two automata accept, with the states that can be reached.
 *
 * @throws {@link TooManyStatesError} if it has too many of them.
 */
export function intersect(first: Automaton, second: Automaton): Automaton {
    const ids = first.transitions.length / first.states;
    const numbers = new Map([[0, 0]]); // by pair of states
    const pairs = [0];
    const accepting: boolean[] = [];
    const transitions: number[] = [];
    for (const pair of pairs) {
        const [a, b] = [Math.floor(pair / second.states), pair % second.states];
        accepting.push(first.accepting[a] && second.accepting[b]);
        for (let id = 0; id < ids; id++) {
            const [afterA, afterB] = [first.transitions[a * ids + id], second.transitions[b * ids + id]];
            const after = afterA * second.states + afterB;
            let state = afterA < 0 || afterB < 0 ? -1 : numbers.get(after);
            if (state === undefined) {
                state = pairs.length;
                numbers.set(after, state);
                pairs.push(after);
                if (pairs.length * ids > MAX_TRANSITIONS) {
                    throw new TooManyStatesError();
                }
            }
            transitions.push(state);
        }
    }
    return { states: pairs.length, transitions: Int32Array.from(transitions), accepting };
}
