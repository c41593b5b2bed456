/** The contents of `config.json`, which describes a model; docs/format.md says what each key means. */

import { ARCHITECTURES, type Architecture } from "./architectures/index.js";
import type { Inputs } from "./arithmetic/base.js";
import type { Json } from "./json.js";
import { any, type Check, dict, int, list, oneOf, record, refuse, text } from "./schema.js";
import { isForbidden, nfc } from "./text.js";
import { MAX_SYMBOLS, Vocabulary } from "./vocabulary.js";

export const FORMAT_VERSION = 2;
export const MAX_LENGTH = 4096;

/** Size in bytes and hash of one file of a model. */
export interface FileRecord {
    size: number;
    sha256: string;
}

/** The contents of `config.json`, by its keys. */
export interface Config {
    format_version: number;
    /** The model's name. */
    name: string;
    /** The symbols in the order of their ids, which start at 1. */
    vocabulary: string[];
    /** What the symbols are. */
    symbols: "characters" | "words";
    /** Number of symbols of context. */
    block_size: number;
    /** Symbols in the longest name of the list. */
    max_length: number;
    /** The values of each condition, by its name, in the order of their ids, which start at 1. */
    conditions: Map<string, string[]>;
    /** The network. */
    architecture: Architecture;
    /** How the model was trained: for people, like the next two, and not checked. */
    training: Map<string, Json>;
    /** Its losses. */
    metrics: Map<string, Json>;
    /** Statistics of the names that it generates. */
    samples: Map<string, Json>;
    /** Size and hash of the other files, by name. */
    files: Map<string, FileRecord>;
}

const architecture: Check<Architecture> = (value, path) => {
    const others = dict(any)(value, path);
    const model = others.get("model");
    const kind = ARCHITECTURES.find((each) => each.model === model) ?? refuse(`Unknown kind ${model}`, path);
    others.delete("model");
    return kind.of(others, path);
};

const value = text(1, 256);
const described = dict(any);

const schema = record<Config>({
    format_version: int(FORMAT_VERSION, FORMAT_VERSION),
    name: text(1),
    vocabulary: list(text(), 1, MAX_SYMBOLS),
    symbols: [oneOf("characters", "words"), "characters"],
    block_size: int(1, 1024),
    max_length: int(1, MAX_LENGTH),
    conditions: [dict(list(value, 1, 4096), 16, value), new Map()],
    architecture,
    training: described,
    metrics: described,
    samples: described,
    files: dict(record<FileRecord>({ size: int(0), sha256: text(64, 64) })),
});

/**
 * Return the contents of `config.json` after checking them.
 *
 * @throws Error saying what is wrong, and where.
 */
export function checkedConfig(json: Json): Config {
    const config = schema(json, "$");
    for (const [name, values] of config.conditions) {
        if ([name, ...values].some((each) => isForbidden(each) || nfc(each) !== each)) {
            refuse("A character that is not allowed, or text that is not in NFC", `$.conditions.${name}`);
        }
        if (new Set(values).size < values.length) {
            refuse("A value twice", `$.conditions.${name}`);
        }
    }
    return config;
}

/** Return the vocabulary of a model. */
export function alphabet({ symbols, vocabulary }: Config): Vocabulary {
    return new Vocabulary(vocabulary, symbols === "words");
}

/** Return what the network of a model reads. */
export function inputsOf(config: Config): Inputs {
    return {
        blockSize: config.block_size,
        ids: config.vocabulary.length + 1,
        values: [...config.conditions.values()].map((values) => values.length + 1),
    };
}
