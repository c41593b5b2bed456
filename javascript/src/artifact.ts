/**
 * Read and check the files of a model, format version 2.
 *
 *     config.json        everything about the model except its weights
 *     model.safetensors  the weights
 *     model.onnx         the same network for other runtimes, which is not read here
 *     novelty.crc32      hashes of the names of the list, perhaps
 *
 * `config.json` records the size and SHA-256 of the other files. No file is trusted: sizes are checked before reading,
 * hashes before parsing.
 */

import { Bounds } from "./arithmetic/bounds.js";
import { Program } from "./arithmetic/integers.js";
import { alphabet, type Config, checkedConfig, FORMAT_VERSION, inputsOf } from "./config.js";
import { ArtifactError, COPY_AGAIN, ModelNotFoundError } from "./errors.js";
import { type Json, parseJson } from "./json.js";
import { KnownNames } from "./novelty.js";
import { sha256Hex } from "./sha256.js";
import type { Vocabulary } from "./vocabulary.js";
import { readTensors } from "./weights.js";

export const CONFIG = "config.json";
export const WEIGHTS = "model.safetensors";
export const NOVELTY = "novelty.crc32";
const GRAPH = "model.onnx";
const MAX_CONFIG_BYTES = 4 * 2 ** 20;
const MAX_BYTES = 2 ** 30;

/** The files of a model by name: `config.json`, `model.safetensors`, and `novelty.crc32` if it has one. */
export type Files = Readonly<Record<string, Uint8Array | ArrayBuffer>>;

/** A checked model: everything that inference needs. */
export interface Artifact {
    config: Config;
    vocabulary: Vocabulary;
    program: Program;
    known: KnownNames | undefined;
}

/** Gets a file of a model: at most so many bytes, or undefined if there is no such file. */
export type Get = (name: string, most: number, sha256?: string) => Promise<Uint8Array | undefined>;

/**
 * Read and check a model.
 *
 * @param get - gets its files.
 * @param place - where it is, for messages.
 * @throws {@link ModelNotFoundError} if there is no `config.json`.
 * @throws {@link ArtifactError} naming the file that is missing or wrong.
 */
export async function read(get: Get, place: string): Promise<Artifact> {
    const data = await get(CONFIG, MAX_CONFIG_BYTES);
    const config = readConfig(data, place);
    const files: Record<string, Uint8Array> = {};
    for (const name of listed(config)) {
        const { size, sha256 } = config.files.get(name)!;
        checkSize(name, size, place);
        const found = await get(name, size, sha256);
        if (found !== undefined) {
            files[name] = found;
        }
    }
    return assemble(config, files, place);
}

/** Check a model that is in memory; see {@link read}. */
export function readFiles(files: Files, place: string): Artifact {
    const own = Object.fromEntries(Object.entries(files).map(([name, data]) => [name, bytesOf(data, name)]));
    return assemble(readConfig(own[CONFIG], place), own, place);
}

function bytesOf(data: unknown, name: string): Uint8Array {
    if (data instanceof Uint8Array) {
        return data;
    }
    if (data instanceof ArrayBuffer) {
        return new Uint8Array(data);
    }
    throw ArtifactError.at(name, "a Uint8Array or an ArrayBuffer", typeof data, "read the file as bytes");
}

/** Return the names of the files that are read, besides the configuration. */
function listed(config: Config): string[] {
    return config.files.has(NOVELTY) ? [WEIGHTS, NOVELTY] : [WEIGHTS];
}

/** Check `config.json` alone. */
export function readConfig(data: Uint8Array | undefined, place: string): Config {
    const path = `${place}/${CONFIG}`;
    if (data === undefined) {
        throw new ModelNotFoundError(`${place}: no model here, there is no config.json`, place);
    }
    if (data.length > MAX_CONFIG_BYTES) {
        throw ArtifactError.at(path, `at most ${MAX_CONFIG_BYTES} bytes`, `${data.length}`);
    }
    let config: Config;
    try {
        const json = parseJson(data);
        checkVersion(json, path);
        config = checkedConfig(json);
        alphabet(config);
    } catch (error) {
        throw error instanceof ArtifactError
            ? error
            : ArtifactError.at(path, "the schema of an artifact", (error as Error).message);
    }
    const names = [...config.files.keys()].sort();
    const expected = [GRAPH, WEIGHTS, ...(config.files.has(NOVELTY) ? [NOVELTY] : [])];
    if (names.join() !== expected.join()) {
        throw ArtifactError.at(path, `files ${GRAPH}, ${WEIGHTS}, perhaps ${NOVELTY}`, names.join(", "));
    }
    return config;
}

function checkVersion(json: Json, path: string): void {
    const version = json instanceof Map ? json.get("format_version") : undefined;
    if (typeof version !== "number" || !Number.isInteger(version) || version === FORMAT_VERSION) {
        return; // the schema says what is wrong
    }
    let [when, advice] = ["another", COPY_AGAIN];
    if (version > FORMAT_VERSION) {
        [when, advice] = ["a later", "install a newer sequentia"];
    } else if (version >= 1) {
        [when, advice] = ["an earlier", "export it again: sequentia export RUN -o DIR (RUN: its run folder)"];
    }
    const found = `${version}: it was written by ${when} version of sequentia`;
    throw ArtifactError.at(path, `format_version ${FORMAT_VERSION}`, found, advice);
}

function checkSize(name: string, size: number, place: string): void {
    if (size > MAX_BYTES) {
        throw ArtifactError.at(`${place}/${name}`, `at most ${MAX_BYTES} bytes`, `${size}`);
    }
}

function assemble(config: Config, files: Record<string, Uint8Array>, place: string): Artifact {
    for (const name of listed(config)) {
        checkFile(config, name, files[name], place);
    }
    const inputs = inputsOf(config);
    const { architecture } = config;
    const program = checked(`${place}/${WEIGHTS}`, "the model of config.json", () => {
        const tensors = readTensors(files[WEIGHTS], architecture.tensors(inputs));
        architecture.network(new Bounds(tensors, inputs), inputs);
        return new Program(tensors, inputs, (arithmetic) => architecture.network(arithmetic, inputs));
    });
    const hashes = config.files.has(NOVELTY) ? files[NOVELTY] : undefined;
    const known =
        hashes && checked(`${place}/${NOVELTY}`, "sorted 32-bit hashes", () => KnownNames.fromBytes(hashes));
    return { config, vocabulary: alphabet(config), program, known };
}

/** Return whether some bytes are those of a file that `config.json` lists. */
function checkFile(config: Config, name: string, data: Uint8Array | undefined, place: string): void {
    const path = `${place}/${name}`;
    const { size, sha256 } = config.files.get(name)!;
    checkSize(name, size, place);
    if (data === undefined) {
        throw new ArtifactError(`${path}: missing; ${COPY_AGAIN}`, path, "a file", "nothing");
    }
    const found = data.length === size ? sha256Hex(data) : "";
    if (found !== sha256) {
        const what = found ? `${data.length} bytes of sha256 ${found}` : `${data.length} bytes`;
        throw ArtifactError.at(path, `${size} bytes of sha256 ${sha256}, as config.json says`, what);
    }
}

function checked<T>(path: string, expected: string, read: () => T): T {
    try {
        return read();
    } catch (error) {
        throw ArtifactError.at(path, expected, (error as Error).message);
    }
}
