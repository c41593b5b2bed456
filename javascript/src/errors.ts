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

/** Return the error for one file, with the standard message, which ends in what to do. */
export function wrongFile(path: string, expected: string, found: unknown, advice = COPY_AGAIN): ArtifactError {
    const details = { path, expected, found: `${found}` };
    return new ArtifactError(`${path}: expected ${expected}, found ${found}; ${advice}`, details);
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

/** Return the error for an option. */
export function wrongOption(option: string, value: unknown, message: string): OptionError {
    return new OptionError(message, { option, value });
}

/** Return the error for an option that is not what it must be. */
export function mustBe(option: string, value: unknown, expected: string): OptionError {
    return wrongOption(option, value, `${option} must be ${expected}, not ${show(value)}`);
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

/** Return a value for a message: a text in Python's quotes, all else as JavaScript spells it. */
export function show(value: unknown): string {
    if (Array.isArray(value)) {
        return `[${value.map(show).join(", ")}]`;
    }
    if (typeof value === "string") {
        const quoted = JSON.stringify(value);
        return quoted.includes("'") ? quoted : `'${quoted.slice(1, -1).replaceAll('\\"', '"')}'`;
    }
    return typeof value === "function" ? "a function" : String(value);
}

/** Return a whole number with commas: `1,000`. */
export function grouped(value: number): string {
    return value.toLocaleString("en");
}
