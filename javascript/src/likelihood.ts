/** The log-probability of names under a loaded model. */

import type { Bound } from "./bindings.js";
import { logProbabilities } from "./sampling.js";
import { BOUNDARY } from "./vocabulary.js";

/** Return the natural log-probability of a name and its end. */
export function logLikelihood(ids: readonly number[], bound: Bound): number {
    return [...ids, BOUNDARY].reduce(
        (sum, id, place) => sum + logProbabilities(bound.logits(ids.slice(0, place)))[id],
        0,
    );
}
