/** Streams of names: rejected names are drawn again, as their next attempts. */

import type { Bound } from "./bindings.js";
import { Drawing } from "./drawing.js";
import { FREELY } from "./lookahead.js";
import type { Plan } from "./options.js";
import { Acceptance, MAX_ATTEMPTS, reasonOf, UNMET } from "./rejection.js";
import type { Vocabulary } from "./vocabulary.js";

const MOST_ATTEMPTS = 1 << 24;
const FREE_ATTEMPTS = 4; // at a name without constraints, before its length is looked ahead to

/**
 * Yield the names of a stream in the order of their indexes, without an end.
 *
 * @param index - index of the first name.
 * @throws {@link GenerationError} if the options leave no name to draw, or with `unique` no other one.
 */
export function* streamNames(
    bound: Bound,
    vocabulary: Vocabulary,
    plan: Plan,
    index = 0,
): Generator<string, never, void> {
    const { trivial, constant } = plan;
    const drawing = new Drawing(bound.nodes, plan, plan.key);
    const acceptance = new Acceptance(plan);
    let attempt = 0;

    /** Return how the attempt is drawn: the first ones freely, if only the greatest length can be missed. */
    const method = () => (trivial && !constant && attempt < FREE_ATTEMPTS ? FREELY : bound.method(plan));

    for (; ; index++) {
        attempt = 0;
        const most = Math.min(Math.ceil((constant ? 1 : MAX_ATTEMPTS) / method().accepted), MOST_ATTEMPTS);
        for (let reason = UNMET; reason; attempt++) {
            if (attempt === most) {
                throw acceptance.missing();
            }
            const isMet = drawing.accepts(index, attempt, method().proposal);
            const name = isMet ? vocabulary.decode(drawing.ids, drawing.length) : "";
            reason = isMet ? reasonOf(name, plan, vocabulary.mayCompose) : UNMET;
            if (reason) {
                acceptance.reject(reason);
            } else if (acceptance.accept(name)) {
                yield name;
            }
        }
    }
}
