/** Find the files of a model that is given as bytes, as an address, as a folder, or as a repository on the hub. */

import { type Artifact, checkSize, type Files, type Get, NOVELTY, read, readFiles, WEIGHTS } from "./artifact.js";
import { type HubError, isText, ModelNotFoundError, show, wrongFile, wrongOption } from "./errors.js";
import { fetchBytes, type HubOptions, readHub } from "./hub.js";
import type { Address } from "./platform.js";

/**
 * Where a model is:
 *
 * - `"names"`: the one that comes with the package;
 * - `"owner/name"` or `"owner/name@revision"`: a repository on the hub;
 * - a URL, or a string that starts with `https:`, `http:` or `file:`: a folder that holds its files;
 * - any other string, in Node: a folder;
 * - an object: the contents of its files, by name.
 */
export type ModelSource = string | Address | Files;

const REPOSITORY = /^\w[\w.-]*\/\w[\w.-]*(@.+)?$/;
const ADDRESS = /^(https?|file):/;

// Bundlers find these files because each address is written out.
const BUNDLED: Record<string, () => URL> = {
    "config.json": () => new URL("./models/names/config.json", import.meta.url),
    [WEIGHTS]: () => new URL("./models/names/model.safetensors", import.meta.url),
    [NOVELTY]: () => new URL("./models/names/novelty.crc32", import.meta.url),
};

/** Check that no revision is asked for of a model that is not on the hub. */
export function refuseRevision({ revision }: HubOptions, what = "this is a model in memory"): void {
    if (revision !== undefined) {
        wrongOption("revision", revision, `${what}, which has no revisions`);
    }
}

/** Read and check a model; see `load`. */
export async function locate(model: ModelSource, options: HubOptions): Promise<Artifact> {
    const readFolder = (get: Get): Promise<Artifact> => {
        refuseRevision(options, `${show(`${model}`)} is a folder or a bundled model`);
        return read(get, `${model}`);
    };
    if (model === "names") {
        return readFolder((name, most) => contents(BUNDLED[name](), most, options));
    }
    if (model instanceof URL || (isText(model) && ADDRESS.test(model) && URL.canParse(model))) {
        const folder = `${model}`.replace(/\/?$/, "/");
        return readFolder((name, most) => contents(new URL(name, folder), most, options));
    }
    if (!isText(model)) {
        refuseRevision(options);
        return readFiles(model, "model");
    }
    if (nodeFiles()?.statSync(model, { throwIfNoEntry: false })?.isDirectory()) {
        return readFolder((name, most) => readFile(`${model}/${name}`, most));
    }
    if (!REPOSITORY.test(model)) {
        const kinds = "neither a folder, nor names, nor owner/name on the hub";
        throw new ModelNotFoundError(`no model ${show(model)}: it is ${kinds}`, { model });
    }
    return readHub(model, options);
}

/** Return Node's module for files; undefined in browsers. It is asked for so that no bundler looks for it. */
function nodeFiles(): typeof import("node:fs") | undefined {
    return globalThis.process?.getBuiltinModule?.("node:fs");
}

async function readFile(path: string | URL, most: number): Promise<Uint8Array | undefined> {
    const { stat, readFile } = nodeFiles()!.promises;
    try {
        checkSize(`${path}`, (await stat(path)).size, most);
        return new Uint8Array(await readFile(path));
    } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "ENOENT") {
            return undefined;
        }
        throw code ? wrongFile(`${path}`, "a readable file", code) : error;
    }
}

async function contents(address: URL, most: number, options: HubOptions): Promise<Uint8Array | undefined> {
    if (address.protocol === "file:" && nodeFiles()) {
        return readFile(address, most);
    }
    try {
        return await fetchBytes(address.href, most, options);
    } catch (error) {
        if ((error as HubError).status === 404) {
            return undefined;
        }
        throw error;
    }
}
