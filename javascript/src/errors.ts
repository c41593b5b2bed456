/**
 * The errors that Sequentia throws, by the names that they have in Python:
 *
 *     SequentiaError
 *     ├── ArtifactError       a file of a model is missing, damaged or inconsistent
 *     ├── GenerationError     the options allow too few names
 *     ├── HubError            the hub cannot be reached or refuses
 *     ├── ModelNotFoundError  the requested model does not exist
 *     ├── OptionError         an option is out of range or contradicts another
 *     └── VocabularyError     a text contains a symbol that the model does not know
 */

export const COPY_AGAIN = "copy or download the model again, or export its run again";

/** The base class of all errors of this library; the message says what was wrong and what to do. */
export class SequentiaError extends Error {
    /** @internal */
    constructor(message: string, details: object = {}) {
        super(message);
        Object.assign(this, details);
    }
}

/** A file of a model is missing, damaged or inconsistent. */
export class ArtifactError extends SequentiaError {
    /** The offending file. */
    declare readonly path: string;
    /** What the file should contain. */
    declare readonly expected: string;
    /** What it contains instead. */
    declare readonly found: string;
}

/** Throw the {@link ArtifactError} for one file, with the standard message, which ends in what to do. */
export function wrongFile(path: string, expected: string, found: unknown, advice = COPY_AGAIN): never {
    const details = { path, expected, found: `${found}` };
    throw new ArtifactError(`${path}: expected ${expected}, found ${found}; ${advice}`, details);
}

/** The options allow too few names. */
export class GenerationError extends SequentiaError {
    /** Number of names and attempts at names that were sampled. */
    declare readonly candidates: number;
    /** Number of names accepted. */
    declare readonly accepted: number;
    /** Number of rejected candidates by reason. */
    declare readonly rejected: Record<string, number>;
    /** The names found before the error, if the call would have returned a list. */
    names: string[] = [];
}

/** The hub cannot be reached or refuses a request. */
export class HubError extends SequentiaError {
    /** The HTTP status of the answer, if there was one. */
    declare readonly status?: number;
}

/** The requested model does not exist. */
export class ModelNotFoundError extends SequentiaError {
    /** The name or path that was requested. */
    declare readonly model: string;
}

/** An option is out of range or contradicts another. */
export class OptionError extends SequentiaError {
    /** Its name. */
    declare readonly option: string;
    /** The given value. */
    declare readonly value: unknown;
}

/** Throw an {@link OptionError}. */
export function wrongOption(option: string, value: unknown, message: string): never {
    throw new OptionError(message, { option, value });
}

/** Throw the {@link OptionError} for an option that is not what it must be. */
export function mustBe(option: string, value: unknown, expected: string): never {
    wrongOption(option, value, `${option} must be ${expected}, not ${show(value)}`);
}

/** A text contains a symbol that is not in the vocabulary. */
export class VocabularyError extends SequentiaError {
    /** The symbol. */
    declare readonly symbol: string;
    /** Its index in the text from 0 on, after NFC normalisation. */
    declare readonly position: number;
}

// In minified files, classes have other names.
for (const [name, { prototype }] of Object.entries({
    SequentiaError,
    ArtifactError,
    GenerationError,
    HubError,
    ModelNotFoundError,
    OptionError,
    VocabularyError,
})) {
    prototype.name = name;
}

/** Throw an error that says what is wrong with a part of a file; {@link wrongFile} says with which file. */
export function fail(message: string): never {
    throw new Error(message);
}

/** Check that something is not greater than it may be. */
export function checkMost(what: string, value: number, most: number): void {
    if (value > most) {
        fail(`${what} ${value}, more than ${most}`);
    }
}

/** Return whether a value is a text. */
export function isText(value: unknown): value is string {
    return typeof value === "string";
}

/** Return whether a value is an object of keys, neither a list, nor of a class such as `Map` or `Date`. */
export function isRecord(value: unknown): value is object {
    return {}.toString.call(value) === "[object Object]";
}

/** Return a value for a message: a text in Python's quotes, an object by its keys, all else as JavaScript spells it. */
export function show(value: unknown): string {
    if (Array.isArray(value)) {
        return `[${value.map(show).join(", ")}]`;
    }
    if (isText(value)) {
        const quoted = JSON.stringify(value);
        return quoted.includes("'") ? quoted : `'${quoted.slice(1, -1).replaceAll('\\"', '"')}'`;
    }
    if (isRecord(value)) {
        return `{${Object.keys(value)}}`;
    }
    return typeof value === "function" ? "a function" : String(value) + (typeof value === "bigint" ? "n" : "");
}

/** Return a whole number with commas: `1,000`. */
export function grouped(value: number): string {
    return value.toLocaleString("en");
}
