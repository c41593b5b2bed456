/** Deterministic automata over a vocabulary's ids: of a suffix, of strings to avoid, and their product. */

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

/**
 * Return the automaton of the names that end in some ids (Knuth, Morris and Pratt 1977).
 *
 * @param ids - the number of ids, the boundary included.
 */
export function matchSuffix(suffix: readonly number[], ids: number): Automaton {
    const automaton = match([suffix], ids);
    return { ...automaton, accepting: automaton.accepting.map((_, state) => state === suffix.length) };
}

/**
 * Return the automaton of the names that contain none of some strings of ids (Aho and Corasick 1975).
 *
 * @throws {@link TooManyStatesError} if the strings have too many different beginnings.
 */
export function matchNoneOf(strings: readonly (readonly number[])[], ids: number): Automaton {
    const last = (string: readonly number[]): number => string.at(-1)!;
    return match(
        strings.map((string) => string.slice(0, -1)),
        ids,
        strings.map(last),
    );
}

/**
 * Return the automaton whose states are the longest start of a string that was read last.
 *
 * @param fatal - by string: the id after which nothing matches, if it follows the string.
 */
function match(strings: readonly (readonly number[])[], ids: number, fatal: readonly number[] = []): Automaton {
    const longer: Map<number, number>[] = [new Map()]; // by state: the states of beginnings with one more id
    const ends: number[][] = [[]]; // by state: the ids that are fatal
    strings.forEach((string, number) => {
        let state = 0;
        for (const id of string) {
            let after = longer[state].get(id);
            if (!after) {
                after = longer.push(new Map()) - 1;
                longer[state].set(id, after);
                ends.push([]);
                check(longer.length * ids);
            }
            state = after;
        }
        ends[state].push(...fatal.slice(number, number + 1));
    });
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

function check(transitions: number): void {
    if (transitions > MAX_TRANSITIONS) {
        throw new TooManyStatesError();
    }
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
                state = pairs.push(after) - 1;
                numbers.set(after, state);
                check(pairs.length * ids);
            }
            transitions.push(state);
        }
    }
    return { states: pairs.length, transitions: Int32Array.from(transitions), accepting };
}
