/**
 * Invents names with a model of Sequentia: the same names for a seed as the Python library, in browsers and in Node.
 *
 * @packageDocumentation
 */

import type { HubOptions } from "./hub.js";
import { Model } from "./model.js";
import { given, type Options } from "./options.js";
import type { Address } from "./platform.js";
import { locate, type ModelSource, refuseRevision } from "./resolve.js";

export type { Files } from "./artifact.js";
export type { Where } from "./conditions.js";
export type { Config } from "./config.js";
export {
    ArtifactError,
    GenerationError,
    HubError,
    ModelNotFoundError,
    OptionError,
    SequentiaError,
    VocabularyError,
} from "./errors.js";
export type { SymbolOptions } from "./options.js";
export type { HubOptions, ModelSource, Options };
export { Model };

const HUB_OPTIONS = ["revision", "endpoint", "token", "signal"];

/**
 * Load a model.
 *
 * @param model - where it is, or a model that is loaded; by default, the one of the package, which is called `names`.
 * @param options - for a model on the hub.
 * @throws {@link ModelNotFoundError} if there is no such model.
 * @throws {@link ArtifactError} if a file of the model is missing, damaged or inconsistent.
 * @throws {@link HubError} if the hub cannot be reached or refuses.
 * @throws {@link OptionError} if an option is wrong.
 */
export async function load(model?: ModelSource | Model, options: HubOptions = {}): Promise<Model> {
    const asked = given(options, HUB_OPTIONS);
    if (model instanceof Model) {
        refuseRevision(asked);
        return model;
    }
    return new Model(await locate(model, asked));
}

/** The options of `generate`, and which model invents. */
export interface ModelOptions extends Options {
    /** A loaded model, or a name or address as for `load`, which stays loaded. */
    model?: string | Address | Model | null | undefined;
}

const loaded = new Map<string | Model | undefined, Promise<Model>>();

/**
 * Invent names: the first `n` of a stream; see {@link Model.generate}.
 *
 */
export async function generate(n = 1, options: ModelOptions | null = {}): Promise<string[]> {
    const { model, ...others } = options ?? {};
    const key = model instanceof URL ? model.href : (model ?? undefined);
    let found = loaded.get(key);
    if (found === undefined) {
        found = load(key);
        loaded.set(key, found);
        found.catch(() => loaded.delete(key)); // so that the next call tries again
    }
    return (await found).generate(n, others);
}
