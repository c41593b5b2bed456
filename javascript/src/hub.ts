/**
 * Read models from the Hugging Face hub, with the browser's Cache API where there is one.
 *
 * What comes from the cache is checked like what comes from the network; a damaged file is fetched again.
 */

import { type Artifact, CONFIG, checkSize, type Get, read } from "./artifact.js";
import { HubError, ModelNotFoundError, SequentiaError, show, wrongOption } from "./errors.js";
import type { Signal } from "./platform.js";
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
    signal?: Signal | undefined;
}

const COMMIT = /^[0-9a-f]{40}$/;
const NO_REVISION = /[\s\\:\p{Cc}?#%]|(^|\/)\.{0,2}(\/|$)/u;

/** Read and check the model of a repository, `owner/name` or `owner/name@revision`. */
export async function readHub(model: string, options: HubOptions): Promise<Artifact> {
    const [repoId, ...at] = model.split("@");
    const { endpoint = "https://huggingface.co", revision = at.join("@") || "main" } = options;
    if (at.length && at.join("@") !== revision) {
        wrongOption("revision", revision, `${model} and revision contradict each other`);
    }
    if (NO_REVISION.test(revision)) {
        wrongOption("revision", revision, `${show(revision)} is not a valid revision`);
    }
    const folder = `${endpoint.replace(/\/$/, "")}/${repoId}/resolve/${revision}`;
    try {
        return await read(source(folder, COMMIT.test(revision), options), `${repoId}@${revision}`);
    } catch (error) {
        const { status } = error as HubError;
        if (status === 404 || status === 401) {
            const message = `no model ${model}: the hub has no such repository or revision, or asks for a token`;
            throw new ModelNotFoundError(message, { model });
        }
        throw error;
    }
}

/** Return what gets the files of a folder of the hub. */
function source(folder: string, isPinned: boolean, options: HubOptions): Get {
    return async (name, most, sha256 = "") => {
        const address = `${folder}/${name}`;
        const key = `${address}?sha256=${sha256}`;
        const isRight = (data: Uint8Array): boolean => !sha256 || sha256Hex(data) === sha256;
        const cache = await globalThis.caches?.open("sequentia").catch(() => undefined);
        const answer = await cache?.match(key);
        const cached = answer && new Uint8Array(await answer.arrayBuffer());
        if (cached && isRight(cached) && (sha256 || isPinned)) {
            return cached;
        }
        try {
            const data = await fetchBytes(address, most, options);
            if (isRight(data)) {
                await cache?.put(key, new Response(data)).catch(() => undefined); // full, or not allowed
            }
            return data;
        } catch (error) {
            if (cached && name === CONFIG && !(error as HubError).status) {
                return cached; // without a network, what was there last
            }
            throw error;
        }
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
    const { token, signal = null } = options;
    try {
        const answer = await fetch(address, { headers: token ? { Authorization: `Bearer ${token}` } : {}, signal });
        const { status } = answer;
        if (!answer.ok) {
            throw new HubError(`${address}: the server answered ${status}; check the token, or try again later`, {
                status,
            });
        }
        const chunks: Uint8Array<ArrayBuffer>[] = [];
        let size = 0;
        const reader = answer.body!.getReader();
        for (let part = await reader.read(); part.value; part = await reader.read()) {
            size += part.value.length;
            if (size > most) {
                reader.cancel();
                checkSize(address, size, most);
            }
            chunks.push(part.value);
        }
        return new Uint8Array(await new Blob(chunks).arrayBuffer());
    } catch (error) {
        if (error instanceof SequentiaError || signal?.aborted) {
            throw error;
        }
        throw new HubError(`${address}: no valid answer (${error}); check the connection, and try again`);
    }
}
