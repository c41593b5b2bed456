/** A model with the values of its conditions bound, and what it remembers of the options it was last used with. */

import type { Artifact } from "./artifact.js";
import { inputsOf } from "./config.js";
import { LogitCache } from "./logit_cache.js";
import { checkRarity, type Method, methodOf } from "./lookahead.js";
import { Nodes } from "./nodes.js";
import type { Plan } from "./options.js";
import type { Sampling } from "./sampling.js";

const REMEMBERED = 4;
const METHODS = 8;

/** Values by key, of which those used last are kept. */
class Recent<T> {
    private readonly values = new Map<string, T>();

    constructor(private readonly most: number) {}

    /** Return the value of a key, made if it is not known. */
    get(key: string, make: () => T): T {
        const value = this.values.get(key) ?? make();
        this.values.delete(key);
        this.values.set(key, value);
        if (this.values.size > this.most) {
            this.values.delete(this.values.keys().next().value!);
        }
        return value;
    }
}

/** A model whose conditions have given values. */
export class Bound {
    /** The logits. */
    readonly cache: LogitCache;
    private readonly ofSampling = new Recent<Nodes>(REMEMBERED);
    private readonly ofPlan = new Recent<Method>(METHODS);

    constructor(
        private readonly artifact: Artifact,
        said: readonly number[],
    ) {
        this.cache = new LogitCache(artifact.program, inputsOf(artifact.config), said);
    }

    /** Return the distributions of the next symbols for a way of sampling. */
    nodes(sampling: Sampling): Nodes {
        const key = `${sampling.temperature} ${sampling.topK} ${sampling.topP}`;
        return this.ofSampling.get(key, () => new Nodes(this.cache, sampling, this.artifact.vocabulary));
    }

    /**
     * Return how the names of a plan are found.
     *
     * @throws {@link GenerationError} if the constraints are so rarely met that names cannot be found.
     */
    method(plan: Plan): Method {
        const method = this.ofPlan.get(plan.method, () => methodOf(this.nodes(plan.sampling), plan));
        checkRarity(method, plan);
        return method;
    }
}

/** The bound models of the last few combinations of values. */
export class Bindings {
    private readonly known = new Recent<Bound>(REMEMBERED);

    constructor(private readonly artifact: Artifact) {}

    /** Return the model where conditions have given values. */
    of(said: readonly number[]): Bound {
        return this.known.get(said.join(), () => new Bound(this.artifact, said));
    }
}
