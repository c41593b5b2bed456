/** What the options `minLength`, `maxLength`, `suffix` and `avoid` ask of a name. */

import {
    type Automaton,
    intersect,
    MAX_TRANSITIONS,
    matchNoneOf,
    matchSuffix,
    TooManyStatesError,
} from "./automaton.js";
import { grouped, wrongOption } from "./errors.js";

/** Bounds on the length of names, and an automaton that accepts them. */
export class Constraint {
    /** Whether it asks for nothing but lengths. */
    readonly unrestricted: boolean;
    /** Equal for equal constraints. */
    readonly key: string;
    private combined: Automaton | undefined;
    private ways: Float32Array | undefined;

    /**
     * @param ids - number of ids, the boundary included.
     * @param minLength - fewest symbols in a name, at least 1.
     * @param maxLength - most symbols in a name.
     * @param suffix - ids that names end in.
     * @param avoid - strings of ids that no name contains, all different.
     * @param never - an id that no name contains, or 0.
     * @throws {@link OptionError} if the automaton has too many states.
     */
    constructor(
        readonly ids: number,
        readonly minLength: number,
        readonly maxLength: number,
        suffix: readonly number[] = [],
        avoid: readonly (readonly number[])[] = [],
        never = 0,
    ) {
        this.unrestricted = suffix.length + avoid.length === 0;
        this.key = JSON.stringify([minLength, maxLength, suffix, avoid]);
        try {
            const parts = [
                ...(suffix.length ? [matchSuffix(suffix, ids)] : []),
                ...(avoid.length ? [matchNoneOf(avoid, ids)] : []),
                ...(never ? [matchNoneOf([[never]], ids)] : []),
            ];
            this.combined = parts.length ? parts.reduce(intersect) : undefined;
        } catch (error) {
            if (!(error instanceof TooManyStatesError)) {
                throw error;
            }
            const used = [...(suffix.length ? ["suffix"] : []), ...(avoid.length ? ["avoid"] : [])];
            const option = used.at(-1)!;
            wrongOption(
                option,
                option === "avoid" ? avoid : suffix,
                `${used.join(" and ")} would need an automaton of more than ${grouped(Math.floor(MAX_TRANSITIONS / ids))} states; avoid fewer or shorter strings`,
            );
        }
    }

    /** Accepts the names that end in the suffix and contain no string to avoid. */
    get automaton(): Automaton {
        this.combined ??= matchNoneOf([], this.ids);
        return this.combined;
    }

    /** Return the state after one more id, or -1. */
    after(state: number, id: number): number {
        return this.unrestricted || state < 0 ? state : this.automaton.transitions[state * this.ids + id];
    }

    /** Return whether names of `length` symbols in a state can still meet the constraints. */
    viable(length: number, state: number): boolean {
        return length <= this.maxLength && (this.unrestricted || (state >= 0 && this.count(length, state) > 0));
    }

    /** Return whether a name of `length` symbols in a state meets the constraints. */
    met(length: number, state: number): boolean {
        const isAccepted = this.unrestricted || (state >= 0 && this.automaton.accepting[state]);
        return length >= this.minLength && length <= this.maxLength && isAccepted;
    }

    /** Return how many names that meet the constraints continue from `length` symbols in `state`. */
    count(length: number, state: number): number {
        this.ways ??= this.counted();
        return this.ways[length * this.automaton.states + state];
    }

    private counted(): Float32Array {
        const { ids, maxLength } = this;
        const { states, transitions } = this.automaton;
        const ways = new Float32Array((maxLength + 1) * states);
        for (let length = maxLength; length >= 0; length--) {
            for (let state = 0; state < states; state++) {
                let found = this.met(length, state) ? 1 : 0;
                for (let id = 1; id < ids && length < maxLength; id++) {
                    const after = transitions[state * ids + id];
                    found += after < 0 ? 0 : ways[(length + 1) * states + after];
                }
                ways[length * states + state] = found;
            }
        }
        return ways;
    }
}
