/**
 * Invents names with a model of Sequentia: the same names for a seed as the Python library, in browsers and in Node.
 *
 * @packageDocumentation
 */

import { wrongOption } from "./errors.js";
import type { HubOptions } from "./hub.js";
import { Model } from "./model.js";
import { given, NAMES, type Options, string, valid } from "./options.js";
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
export async function load(
    model?: ModelSource | Model | null | undefined,
    options?: HubOptions | null | undefined,
): Promise<Model> {
    const asked = given(options, HUB_OPTIONS);
    const { revision, endpoint, token, signal } = asked;
    string("revision", revision);
    if (endpoint !== undefined) {
        valid(
            "endpoint",
            endpoint,
            "an address with https: or http:",
            /^https?:/.test(endpoint) && URL.canParse(endpoint),
        );
    }
    if (/[^!-~]/.test(string("token", token))) {
        // It is a secret, which no message repeats.
        wrongOption("token", undefined, "token must be of visible ASCII characters");
    }
    valid("signal", signal, "an AbortSignal", !signal || signal instanceof AbortSignal);
    if (model instanceof Model) {
        refuseRevision(asked);
        return model;
    }
    return new Model(await locate(model ?? "names", asked));
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
    const { model, ...others } = given(options, [...NAMES, "model"]);
    const key = model instanceof URL ? model.href : model;
    let found = loaded.get(key);
    if (found === undefined) {
        found = load(key);
        loaded.set(key, found);
        found.catch(() => loaded.delete(key)); // so that the next call tries again
    }
    return (await found).generate(n, others);
}
