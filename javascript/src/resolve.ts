/** Find the files of a model that is given as bytes, as an address, as a folder, or as a repository on the hub. */

import { type Artifact, type Files, type Get, NOVELTY, read, readFiles, WEIGHTS } from "./artifact.js";
import { ArtifactError, HubError, ModelNotFoundError, OptionError, show } from "./errors.js";
import { fetchBytes, type HubOptions, readHub } from "./hub.js";

/**
 * Where a model is:
 *
 * - `"names"`: the one that comes with the package;
 * - `"owner/name"` or `"owner/name@revision"`: a repository on the hub;
 * - a URL, or a string that starts with `https:`, `http:` or `file:`: a folder that holds its files;
 * - any other string, in Node: a folder;
 * - an object: the contents of its files, by name.
 */
export type ModelSource = string | URL | Files;

const REPOSITORY = /^[\w.-]+\/[\w.-]+(@.+)?$/;
const ADDRESS = /^(https?|file|blob|data):/;

// Bundlers find these files because each address is written out.
const BUNDLED: Record<string, () => URL> = {
    "config.json": () => new URL("./models/names/config.json", import.meta.url),
    [WEIGHTS]: () => new URL("./models/names/model.safetensors", import.meta.url),
    [NOVELTY]: () => new URL("./models/names/novelty.crc32", import.meta.url),
};

/** Read and check a model; see `load`. */
export async function locate(model: ModelSource | undefined, options: HubOptions): Promise<Artifact> {
    if (model === undefined || model === "names") {
        return read((name, most) => contents(BUNDLED[name](), most, options), "names");
    }
    if (model instanceof URL || (typeof model === "string" && ADDRESS.test(model))) {
        const address = new URL(model);
        address.pathname = address.pathname.replace(/\/?$/, "/");
        const { href } = address;
        return read((name, most) => contents(new URL(name, address), most, options), href.replace(/\/$/, ""));
    }
    if (typeof model !== "string") {
        if (typeof model !== "object" || model === null) {
            throw OptionError.mustBe("model", model, "a name, a URL, or the files of a model by name");
        }
        return readFiles(model, "model");
    }
    const folder = folderOf(model);
    if (folder !== undefined) {
        return read(folder, model);
    }
    if (!REPOSITORY.test(model)) {
        const kinds = "neither a folder, nor the bundled model (names), nor owner/name of a repository on the hub";
        throw new ModelNotFoundError(`no model ${show(model)}: it is ${kinds}`, model);
    }
    return readHub(model, options);
}

/** Return what gets the files of a folder of this machine; undefined if there is no such folder, or in a browser. */
function folderOf(path: string): Get | undefined {
    const fs = files();
    return fs?.statSync(path, { throwIfNoEntry: false })?.isDirectory() ? (name, most) => readFile(`${path}/${name}`, most) : undefined;
}

/** Return Node's module for files; undefined in browsers. It is asked for so that no bundler looks for it. */
function files(): typeof import("node:fs") | undefined {
    return globalThis.process?.getBuiltinModule?.("node:fs");
}

async function readFile(path: string | URL, most: number): Promise<Uint8Array | undefined> {
    const fs = files()!;
    try {
        const stat = await fs.promises.stat(path);
        if (!stat.isFile()) {
            throw ArtifactError.at(`${path}`, "a file", "a folder or a device");
        }
        if (stat.size > most) {
            throw ArtifactError.at(`${path}`, `at most ${most} bytes`, `${stat.size}`);
        }
        return new Uint8Array(await fs.promises.readFile(path));
    } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === "ENOENT") {
            return undefined;
        }
        throw code ? ArtifactError.at(`${path}`, "a readable file", code) : error;
    }
}

async function contents(address: URL, most: number, options: HubOptions): Promise<Uint8Array | undefined> {
    if (address.protocol === "file:" && files() !== undefined) {
        return readFile(address, most);
    }
    try {
        return await fetchBytes(address.href, most, options);
    } catch (error) {
        if (error instanceof HubError && error.status === 404) {
            return undefined;
        }
        throw error;
    }
}
