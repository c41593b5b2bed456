/**
 * Invents names with a model of Sequentia: the same names for a seed as the Python library, in browsers and in Node.
 *
 * @packageDocumentation
 */

import type { HubOptions } from "./hub.js";
import { Model } from "./model.js";
import { checkNames, type Options } from "./options.js";
import { locate, type ModelSource } from "./resolve.js";

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
 * @param model - where it is; by default, the one that comes with the package, which is called `names`.
 * @param options - for a model on the hub.
 * @throws {@link ModelNotFoundError} if there is no such model.
 * @throws {@link ArtifactError} if a file of the model is missing, damaged or inconsistent.
 * @throws {@link HubError} if the hub cannot be reached or refuses.
 * @throws {@link OptionError} if an option is wrong.
 */
export async function load(model?: ModelSource, options: HubOptions = {}): Promise<Model> {
    checkNames(options, HUB_OPTIONS);
    return new Model(await locate(model, options));
}

const loaded = new Map<string | undefined, Promise<Model>>();

/**
 * Invent names: the first `n` of a stream; see {@link Model.generate}.
 *
 * @param options - those of `generate`, and `model`: a name or address as for {@link load}, which stays loaded.
 */
export async function generate(n = 1, options: Options & { model?: string | URL | undefined } = {}): Promise<string[]> {
    const { model, ...others } = options;
    const key = model instanceof URL ? model.href : model;
    let found = loaded.get(key);
    if (found === undefined) {
        found = load(model);
        loaded.set(key, found);
        found.catch(() => loaded.delete(key)); // so that the next call tries again
    }
    return (await found).generate(n, others);
}
