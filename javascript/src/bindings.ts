/** A model with the values of its conditions bound, and what it remembers of the options it was last used with. */

import type { Artifact } from "./artifact.js";
import { inputsOf } from "./config.js";
import { checkRarity, type Method, methodOf } from "./lookahead.js";
import { Nodes } from "./nodes.js";
import type { Plan } from "./options.js";
import type { Sampling } from "./sampling.js";

const REMEMBERED = 4;
const METHODS = 8;

/** Return the value of a key, made if it is not known; of the values, so many are kept that were used last. */
function recent<T>(values: Map<string, T>, most: number, key: string, make: () => T): T {
    const value = values.get(key) ?? make();
    values.delete(key);
    values.set(key, value);
    if (values.size > most) {
        values.delete(values.keys().next().value!);
    }
    return value;
}

/** A model whose conditions have given values. */
export class Bound {
    /** The contexts, and what follows them. */
    readonly nodes: Nodes;
    private readonly methods = new Map<string, Method>();

    constructor({ program, config, vocabulary }: Artifact, said: readonly number[]) {
        this.nodes = new Nodes(program, inputsOf(config), said, vocabulary.unknown);
    }

    /**
     * Return how the names of a plan are found.
     *
     * @throws {@link GenerationError} if the constraints are so rarely met that names cannot be found.
     */
    method(plan: Plan): Method {
        const method = recent(this.methods, METHODS, plan.method, () => methodOf(this.nodes, plan));
        checkRarity(method, plan);
        return method;
    }

    /** Return the logits after the first ids of a name, in steps of 1/256 nat. */
    logits(ids: readonly number[]): Int32Array {
        const { nodes } = this;
        const row = nodes.start(ids) * nodes.ids;
        return nodes.logits.slice(row, row + nodes.ids);
    }

    /** Return the probability that each id is drawn after the first ids of a name. */
    shares(ids: readonly number[], sampling: Sampling): Float64Array {
        const { nodes } = this;
        nodes.use(sampling);
        const row = nodes.row(nodes.start(ids));
        const sums = nodes.sums.subarray(row, row + nodes.ids);
        return sums.map((sum, id) => (sum - (sums[id - 1] ?? 0)) / sums[nodes.ids - 1]);
    }
}

/** The bound models of the last few combinations of values. */
export class Bindings {
    private readonly known = new Map<string, Bound>();

    constructor(private readonly artifact: Artifact) {}

    /** Return the model where conditions have given values. */
    of(said: readonly number[]): Bound {
        return recent(this.known, REMEMBERED, said.join(), () => new Bound(this.artifact, said));
    }
}
