/** Streams of names: rejected names are drawn again, as their next attempts. */

import type { Bound } from "./bindings.js";
import { Drawing } from "./drawing.js";
import type { Method } from "./lookahead.js";
import type { Plan } from "./options.js";
import { Acceptance, MAX_ATTEMPTS, REASONS, reasonOf, UNMET } from "./rejection.js";
import type { Vocabulary } from "./vocabulary.js";

const MOST_ATTEMPTS = 1 << 24;
const FREE_ATTEMPTS = 4; // at a name without constraints, before its length is looked ahead to
const FREELY: Method = { accepted: 1, proposal: undefined, value: 1 };
const NONE: readonly number[] = [];

/**
 * Yield the names of a stream in the order of their indexes, without an end.
 *
 * @param first - index of the first name.
 * @throws {@link GenerationError} if the options leave no name to draw, or with `unique` no other one.
 */
export function* streamNames(bound: Bound, vocabulary: Vocabulary, plan: Plan, first = 0): Generator<string, never, void> {
    const source = new Source(bound, vocabulary, plan);
    const acceptance = new Acceptance(plan);
    for (let index = first; ; index++) {
        const name = source.draw(index);
        if (name === undefined) {
            throw acceptance.missing(source.rejected);
        }
        if (acceptance.accept(name, source.rejected)) {
            yield name;
        }
    }
}

/** Draws single names of a stream. */
class Source {
    /** Number of rejected attempts at the last name, by reason; empty if there were none. */
    rejected: readonly number[] = NONE;
    private readonly drawing: Drawing;

    constructor(
        private readonly bound: Bound,
        private readonly vocabulary: Vocabulary,
        private readonly plan: Plan,
    ) {
        this.drawing = new Drawing(bound.nodes(plan.sampling), plan, plan.key);
    }

    /** Return a name, or undefined if all attempts at it are rejected. */
    draw(index: number): string | undefined {
        const { plan, vocabulary, drawing } = this;
        const first = this.method(0);
        const maxAttempts = plan.constant ? 1 : MAX_ATTEMPTS;
        const mostAttempts = Math.min(Math.ceil(maxAttempts / first.accepted), MOST_ATTEMPTS);
        this.rejected = NONE;
        for (let attempt = 0; attempt < mostAttempts; attempt++) {
            let reason = UNMET;
            if (this.attempt(index, attempt)) {
                const name = vocabulary.decode(drawing.ids, drawing.length);
                reason = reasonOf(name, plan, vocabulary.mayCompose);
                if (!reason) {
                    return name;
                }
            }
            const counts: number[] = this.rejected === NONE ? REASONS.map(() => 0) : [...this.rejected];
            counts[reason - 1]++;
            this.rejected = counts;
        }
        return undefined;
    }

    /** Return how an attempt is drawn: the first ones freely, if only the greatest length can be missed. */
    private method(attempt: number): Method {
        const { trivial, constant } = this.plan;
        return trivial && !constant && attempt < FREE_ATTEMPTS ? FREELY : this.bound.method(this.plan);
    }

    private attempt(index: number, attempt: number): boolean {
        const { proposal } = this.method(attempt);
        const { drawing, plan } = this;
        return proposal ? drawing.accepted(index, attempt, proposal) : drawing.free(index, attempt, plan.constraint);
    }
}
