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
import { ArtifactError, COPY_AGAIN, isRecord, ModelNotFoundError, mustBe, wrongFile, wrongOption } from "./errors.js";
import { parseJson } from "./json.js";
import { knownNames } from "./novelty.js";
import { sha256Hex } from "./sha256.js";
import type { Vocabulary } from "./vocabulary.js";
import { readTensors } from "./weights.js";

export const CONFIG = "config.json";
export const WEIGHTS = "model.safetensors";
export const NOVELTY = "novelty.crc32";
const GRAPH = "model.onnx";
const MAX_CONFIG_BYTES = 2 ** 22;
const MAX_BYTES = 2 ** 30;

/** The files of a model by name: `config.json`, `model.safetensors`, and `novelty.crc32` if it has one. */
export type Files = Readonly<Record<string, Uint8Array | ArrayBuffer>>;

/** A checked model: everything that inference needs. */
export interface Artifact {
    config: Config;
    vocabulary: Vocabulary;
    program: Program;
    known: ReadonlySet<number> | undefined;
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
    const files: Record<string, Uint8Array | undefined> = { [CONFIG]: await get(CONFIG, MAX_CONFIG_BYTES) };
    const { files: records } = readConfig(files[CONFIG], place);
    for (const [name, { size, sha256 }] of records) {
        if (name !== GRAPH) {
            checkSize(`${place}/${name}`, size, MAX_BYTES);
            files[name] = await get(name, size, sha256);
        }
    }
    return readFiles(files, place);
}

/**
 * Check a model that is in memory; see {@link read}.
 *
 * @param isProven - whether its hashes and the bounds of its numbers were checked before, by whoever gives it.
 */
export function readFiles(
    files: Readonly<Record<string, Uint8Array | ArrayBuffer | undefined>>,
    place: string,
    isProven = false,
): Artifact {
    if (!isRecord(files) || !(CONFIG in files)) {
        mustBe("model", files, "a name, a URL, or files by name with config.json");
    }
    const file = (name: string): Uint8Array | undefined => {
        const data = files[name];
        if (ArrayBuffer.isView(data)) {
            return new Uint8Array(data.buffer, data.byteOffset, data.byteLength); // a Buffer's methods differ
        }
        if (data && !(data instanceof ArrayBuffer)) {
            wrongOption("model", files, `${name} must be a Uint8Array or an ArrayBuffer, not a ${typeof data}`);
        }
        return data && new Uint8Array(data);
    };
    const config = readConfig(file(CONFIG), place);

    /** Return what is read of a file after checking it against `config.json`. */
    const checked = <T>(name: string, expected: string, read: (data: Uint8Array) => T): T => {
        const [path, data] = [`${place}/${name}`, file(name)];
        const { size, sha256 } = config.files.get(name)!;
        checkSize(path, size, MAX_BYTES);
        if (!data) {
            throw new ArtifactError(`${path}: missing; ${COPY_AGAIN}`, { path, expected: "a file", found: "nothing" });
        }
        const bytes = `${size} bytes of sha256 ${sha256}`;
        const hash = isProven ? sha256 : sha256Hex(data);
        if (data.length !== size || hash !== sha256) {
            wrongFile(path, `${bytes}, as config.json says`, `${data.length} bytes of sha256 ${hash}`);
        }
        try {
            return read(data);
        } catch (error) {
            wrongFile(path, expected, (error as Error).message);
        }
    };

    return {
        config,
        vocabulary: alphabet(config),
        program: checked(WEIGHTS, "the model of config.json", (data) => {
            const [inputs, tensors, { architecture }] = [inputsOf(config), readTensors(data), config];
            if (!isProven) {
                const bounds = new Bounds(tensors, inputs);
                architecture.network(bounds, inputs);
                bounds.finish();
            }
            return new Program(tensors, inputs, (arithmetic) => architecture.network(arithmetic, inputs));
        }),
        known: config.files.has(NOVELTY) ? checked(NOVELTY, "sorted 32-bit hashes", knownNames) : undefined,
    };
}

/** Check `config.json` alone. */
function readConfig(data: Uint8Array | undefined, place: string): Config {
    const path = `${place}/${CONFIG}`;
    if (!(data instanceof Uint8Array)) {
        throw new ModelNotFoundError(`${place}: no model here, there is no config.json`, { model: place });
    }
    checkSize(path, data.length, MAX_CONFIG_BYTES);
    try {
        const json = parseJson(data);
        const version = json instanceof Map ? json.get("format_version") : undefined;
        if (Number.isInteger(version) && version !== FORMAT_VERSION) {
            otherVersion(path, version as number);
        }
        const config = checkedConfig(json);
        alphabet(config);
        const names = [...config.files.keys()].filter((name) => name !== NOVELTY).sort();
        if (names.join() !== `${GRAPH},${WEIGHTS}`) {
            wrongFile(path, `files ${GRAPH}, ${WEIGHTS}, perhaps ${NOVELTY}`, names);
        }
        return config;
    } catch (error) {
        const { message } = error as Error;
        throw error instanceof ArtifactError ? error : wrongFile(path, "the schema of an artifact", message);
    }
}

function otherVersion(path: string, version: number): never {
    const [when, advice] =
        version > FORMAT_VERSION
            ? ["a later", "install a newer sequentia"]
            : ["an earlier", "export it again: sequentia export RUN -o DIR (RUN: its run folder)"];
    const found = `${version}: it was written by ${when} version of sequentia`;
    wrongFile(path, `format_version ${FORMAT_VERSION}`, found, advice);
}

/** Check that a file is not too large. */
export function checkSize(path: string, size: number, most: number): void {
    if (size > most) {
        wrongFile(path, `at most ${most} bytes`, size);
    }
}
