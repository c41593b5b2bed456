/**
 * Read models from the Hugging Face hub, with the browser's Cache API where there is one.
 *
 * What comes from the cache is checked like what comes from the network; a damaged file is fetched again.
 */

import { type Artifact, CONFIG, type Get, read } from "./artifact.js";
import { ArtifactError, HubError, ModelNotFoundError, OptionError, show } from "./errors.js";
import { sha256Hex } from "./sha256.js";

/** The options of `load` for a model on the hub, or at an address. */
export interface HubOptions {
    /** A branch, a tag or the full hash of a commit; `main` by default. */
    revision?: string | undefined;
    /** The hub's address; `https://huggingface.co` by default. */
    endpoint?: string | undefined;
    /** A token of the hub, for private models. */
    token?: string | undefined;
    /** Stops the download. */
    signal?: AbortSignal | undefined;
}

const ENDPOINT = "https://huggingface.co";
const CACHE = "sequentia";
const COMMIT = /^[0-9a-f]{40}$/;

/** Read and check the model of a repository, `owner/name` or `owner/name@revision`. */
export async function readHub(model: string, options: HubOptions): Promise<Artifact> {
    const [repoId, at] = split(model);
    if (at !== undefined && options.revision !== undefined && options.revision !== at) {
        const message = `${model} and revision contradict each other`;
        throw new OptionError(message, "revision", options.revision);
    }
    const revision = checkedRevision(at ?? options.revision ?? "main");
    const folder = `${(options.endpoint ?? ENDPOINT).replace(/\/$/, "")}/${repoId}/resolve/${revision}`;
    const place = revision === "main" ? repoId : `${repoId}@${revision}`;
    try {
        return await read(source(folder, revision, options), place);
    } catch (error) {
        throw error instanceof HubError ? translated(error, place, repoId) : error;
    }
}

function split(model: string): [string, string | undefined] {
    const place = model.indexOf("@");
    return place < 0 ? [model, undefined] : [model.slice(0, place), model.slice(place + 1)];
}

function checkedRevision(revision: unknown): string {
    const parts = typeof revision === "string" ? revision.split("/") : [""];
    if (/[\s\\:\p{Cc}?#%]/u.test(`${revision}`) || parts.some((part) => ["", ".", ".."].includes(part))) {
        throw new OptionError(`${show(revision)} is not a valid revision`, "revision", revision);
    }
    return `${revision}`;
}

/** Return what gets the files of a folder of the hub. */
function source(folder: string, revision: string, options: HubOptions): Get {
    return async (name, most, sha256) => {
        // A file is remembered by its hash, config.json by the revision, which says nothing new if it is a commit.
        const key = `${folder}/${name}${sha256 === undefined ? "" : `?sha256=${sha256}`}`;
        const cache = await globalThis.caches?.open(CACHE).catch(() => undefined);
        const cached = async (): Promise<Uint8Array | undefined> => {
            const answer = await cache?.match(key);
            const data = answer && new Uint8Array(await answer.arrayBuffer());
            return data && (sha256 === undefined || sha256Hex(data) === sha256) ? data : undefined;
        };
        if (sha256 !== undefined || COMMIT.test(revision)) {
            const known = await cached();
            if (known !== undefined) {
                return known;
            }
        }
        let data: Uint8Array<ArrayBuffer>;
        try {
            data = await fetchBytes(`${folder}/${name}`, most, options);
        } catch (error) {
            const known = name === CONFIG && error instanceof HubError && !error.status && (await cached());
            if (known) {
                return known; // without a network, what was there last
            }
            throw error;
        }
        if (sha256 === undefined || sha256Hex(data) === sha256) {
            await cache?.put(key, new Response(data)).catch(() => undefined); // full, or not allowed
        }
        return data;
    };
}

/**
 * Return the bytes at an address.
 *
 * @param most - how many there may be.
 * @throws {@link HubError} if the server cannot be reached or refuses.
 * @throws {@link ArtifactError} if there are more.
 */
export async function fetchBytes(address: string, most: number, options: HubOptions): Promise<Uint8Array<ArrayBuffer>> {
    const { token, signal } = options;
    const tooLarge = (found: string): ArtifactError => ArtifactError.at(address, `at most ${most} bytes`, found);
    try {
        const answer = await fetch(address, {
            ...(token ? { headers: { Authorization: `Bearer ${token}` } } : {}),
            ...(signal ? { signal } : {}),
        });
        if (!answer.ok) {
            const code = answer.headers.get("X-Error-Code");
            throw new HubError(`${address}: the server answered ${answer.status}`, code ?? "", answer.status);
        }
        const chunks: Uint8Array[] = [];
        let size = 0;
        const reader = answer.body?.getReader();
        for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
            size += part.value.length;
            if (size > most) {
                await reader?.cancel();
                throw tooLarge("more");
            }
            chunks.push(part.value);
        }
        const data = new Uint8Array(size);
        chunks.reduce((place, chunk) => {
            data.set(chunk, place);
            return place + chunk.length;
        }, 0);
        return data;
    } catch (error) {
        if (error instanceof HubError || error instanceof ArtifactError || signal?.aborted) {
            throw error;
        }
        const { message, cause } = error as Error;
        const reason = cause instanceof Error ? `${message}: ${cause.message}` : message;
        throw new HubError(`no valid answer from ${address} (${reason}); check the connection, and try again`);
    }
}

/** Return the error of the hub for a repository. */
function translated(error: HubError, place: string, repoId: string): Error {
    const { status, repoId: code } = error;
    if (status === 404 && code === "EntryNotFound") {
        return new ModelNotFoundError(`${place} has no ${CONFIG}, so it is not a Sequentia model`, repoId);
    }
    if (status === 404 && code === "RevisionNotFound") {
        return new ModelNotFoundError(`${place}: the repository has no such revision`, repoId);
    }
    if (status === 404 || (status === 401 && code !== "GatedRepo")) {
        const may = "that may be read with your token, or without one; check the name, or, if it is private, give a token";
        return new ModelNotFoundError(`no model ${place}: there is no such repository on the hub ${may}`, repoId);
    }
    if (status === 401 || status === 403) {
        const reason = `the hub refused (${status}): the token is missing or not valid, or does not allow this`;
        return new HubError(`${place}: ${reason}`, repoId, status);
    }
    if (status === 429) {
        return new HubError(`${place}: too many requests (429): try again later`, repoId, status);
    }
    const message = status ? `the hub answered ${status}; try again later` : error.message;
    return new HubError(`${place}: ${message}`, repoId, status);
}
