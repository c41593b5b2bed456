/** The log-probability of names under a loaded model. */

import type { LogitCache } from "./logit_cache.js";
import { logProbabilities } from "./sampling.js";
import { BOUNDARY } from "./vocabulary.js";

/** Return the natural log-probability of a name and its end. */
export function logLikelihood(ids: readonly number[], cache: LogitCache): number {
    return [...ids, BOUNDARY].reduce(
        (sum, id, place) => sum + logProbabilities(cache.afterIds(ids.slice(0, place)))[id],
        0,
    );
}
