/** The contents of `config.json`, which describes a model; docs/format.md says what each key means. */

import { ARCHITECTURES, type Architecture } from "./architectures/index.js";
import type { Inputs } from "./arithmetic/base.js";
import type { Json } from "./json.js";
import { type Check, dict, float, int, list, matching, nullable, oneOf, optional, record, refuse, text } from "./schema.js";
import { isForbidden, nfc } from "./text.js";
import { MAX_SYMBOLS, Vocabulary, WordVocabulary } from "./vocabulary.js";

export const FORMAT_VERSION = 2;
export const MAX_LENGTH = 4096;

const count = int(0);
const sha256 = matching(/^[0-9a-f]{64}$/);
const texts = dict(text());

/** Size in bytes and hash of one file of a model. */
export interface FileRecord {
    size: number;
    sha256: string;
}

/** Losses, statistics and provenance, for people. */
type Described = Record<string, unknown>;

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
    /** How the model was trained. */
    training: Described;
    /** Its losses. */
    metrics: Described;
    /** Statistics of the names that it generates. */
    samples: Described;
    /** Size and hash of the other files, by name. */
    files: Map<string, FileRecord>;
}

const architecture: Check<Architecture> = (value, path) => {
    const kind = value instanceof Map ? value.get("model") : undefined;
    const known = ARCHITECTURES.find((each) => each.kind === kind);
    if (!(value instanceof Map) || known === undefined) {
        refuse(`Invalid value ${JSON.stringify(kind ?? null)}`, `${path}.model`);
    }
    const others = new Map(value);
    others.delete("model");
    return known.of(others, path);
};

const corpus = record<Described>({
    file: text(),
    sha256,
    names: count,
    distinct: count,
    symbols: count,
    columns: optional(
        nullable(
            record<Described>({
                item: text(),
                conditions: optional(texts, new Map()),
                weight: optional(nullable(text()), null),
                split: optional(nullable(text()), null),
            }),
        ),
        null,
    ),
});

const plain: Check<unknown> = (value, path) =>
    typeof value === "object" ? refuse("Expected `bool | int | float | str | array`", path) : value;
const setting: Check<unknown> = (value, path) => (Array.isArray(value) ? list(plain)(value, path) : plain(value, path));

const training = record<Described>({
    corpus,
    split: oneOf("lecture", "dedup", "all", "column"),
    first_names: count,
    recipe: text(),
    overrides: list(text()),
    settings: dict(setting),
    seed: int(),
    versions: texts,
});

const loss = record<Described>({
    loss: float(),
    names: count,
    windows: count,
    weighted: optional(nullable(float()), null),
});

const metrics = record<Described>({
    train: nullable(loss),
    dev: nullable(loss),
    test: nullable(loss),
    dev_unseen: nullable(loss),
    test_unseen: nullable(loss),
    dev_not_said: optional(nullable(loss), null),
    by_value: optional(dict(dict(loss)), new Map()),
    baselines: optional(dict(float()), new Map()),
});

const described = record<Described>({
    names: count,
    mean_length: float(),
    ending: float(),
    most_frequent: list(text()),
});

const samples = record<Described>({
    seed: int(),
    names: count,
    in_train: float(),
    in_dev_test: float(),
    new: float(),
    mean_length: float(),
    most_frequent: dict(count),
    ending: optional(text(), ""),
    groups: optional(
        list(record<Described>({ where: texts, drawn: described, listed: described, examples: list(text()) })),
        [],
    ),
});

const value = text(1, 256);

const config = record<Config>({
    format_version: int(),
    name: text(1),
    vocabulary: list(text(), 1, MAX_SYMBOLS),
    symbols: optional(oneOf("characters", "words"), "characters"),
    block_size: int(1, 1024),
    max_length: int(1, MAX_LENGTH),
    conditions: optional(dict(list(value, 1, 4096), 16, value), new Map()),
    architecture,
    training,
    metrics,
    samples,
    files: dict(record<FileRecord>({ size: count, sha256 })),
});

/**
 * Return the contents of `config.json` after checking them.
 *
 * @throws Error saying what is wrong, and where.
 */
export function checkedConfig(json: Json): Config {
    const found = config(json, "$");
    for (const [name, values] of found.conditions) {
        for (const each of [name, ...values]) {
            if (isForbidden(each) || nfc(each) !== each) {
                refuse(`conditions: '${each}' has a character that is not allowed, or is not in NFC`, "$");
            }
        }
        if (new Set(values).size < values.length) {
            refuse(`conditions: '${name}' has a value twice`, "$");
        }
    }
    return found;
}

/** Return the vocabulary of a model. */
export function alphabet(config: Config): Vocabulary {
    return new (config.symbols === "words" ? WordVocabulary : Vocabulary)(config.vocabulary);
}

/** Return what the network of a model reads. */
export function inputsOf(config: Config): Inputs {
    return {
        blockSize: config.block_size,
        ids: config.vocabulary.length + 1,
        values: [...config.conditions.values()].map((values) => values.length + 1),
    };
}
