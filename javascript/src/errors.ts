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
    override name = "SequentiaError";
}

/** A file of a model is missing, damaged or inconsistent. */
export class ArtifactError extends SequentiaError {
    override name = "ArtifactError";

    constructor(
        message: string,
        /** The offending file. */
        readonly path = "",
        /** What the file should contain. */
        readonly expected = "",
        /** What it contains instead. */
        readonly found = "",
    ) {
        super(message);
    }

    /** Return the error for one file, with the standard message, which ends in what to do. */
    static at(path: string, expected: string, found: string, advice = COPY_AGAIN): ArtifactError {
        return new ArtifactError(`${path}: expected ${expected}, found ${found}; ${advice}`, path, expected, found);
    }
}

/** Counts of a stream that was given up. */
export interface Counts {
    /** Number of names and attempts at names that were sampled. */
    candidates: number;
    /** Number of names accepted. */
    accepted: number;
    /** Number of rejected candidates by reason. */
    rejected: Record<string, number>;
}

/** The options allow too few names. */
export class GenerationError extends SequentiaError {
    override name = "GenerationError";

    constructor(
        message: string,
        /** What was sampled, accepted and rejected. */
        readonly counts: Counts = { candidates: 0, accepted: 0, rejected: {} },
        /** The names found before the error, if the call would have returned a list. */
        readonly names: string[] = [],
    ) {
        super(message);
    }

    /** Return a copy of the error that carries the names found so far. */
    withNames(names: string[]): GenerationError {
        const found = names.length === 1 ? "1 name found so far is" : `${grouped(names.length)} names found so far are`;
        const message = names.length ? `${this.message} (the ${found} in error.names)` : this.message;
        return new GenerationError(message, this.counts, names);
    }
}

/** The hub cannot be reached or refuses a request. */
export class HubError extends SequentiaError {
    override name = "HubError";

    constructor(
        message: string,
        /** The repository or the address. */
        readonly repoId = "",
        /** The HTTP status of the answer, if there was one. */
        readonly status?: number,
    ) {
        super(message);
    }
}

/** The requested model does not exist. */
export class ModelNotFoundError extends SequentiaError {
    override name = "ModelNotFoundError";

    constructor(
        message: string,
        /** The name or path that was requested. */
        readonly model = "",
    ) {
        super(message);
    }
}

/** An option is out of range or contradicts another. */
export class OptionError extends SequentiaError {
    override name = "OptionError";

    constructor(
        message: string,
        /** Its name. */
        readonly option = "",
        /** The given value. */
        readonly value?: unknown,
    ) {
        super(message);
    }

    /** Return the error for an option that is not what it must be. */
    static mustBe(option: string, value: unknown, expected: string): OptionError {
        return new OptionError(`${option} must be ${expected}, not ${show(value)}`, option, value);
    }
}

/** A text contains a symbol that is not in the vocabulary. */
export class VocabularyError extends SequentiaError {
    override name = "VocabularyError";

    constructor(
        message: string,
        /** The symbol. */
        readonly symbol = "",
        /** Its index in the text from 0 on, after NFC normalisation. */
        readonly position = -1,
        /** The text. */
        readonly text = "",
    ) {
        super(message);
    }
}

const ESCAPES: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" };

/** Return a value for a message: text in quotes, all else as JavaScript spells it. */
export function show(value: unknown): string {
    if (typeof value === "string") {
        const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
        const escaped = value.replace(/[\p{Cc}\p{Cs}\\]/gu, (c) => {
            const code = c.charCodeAt(0);
            const hex = code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
            return ESCAPES[c] ?? hex;
        });
        return quote + (quote === "'" ? escaped.replace(/'/g, "\\'") : escaped) + quote;
    }
    if (Array.isArray(value)) {
        return `[${value.map(show).join(", ")}]`;
    }
    if (value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
        const pairs = Object.entries(value).map(([key, each]) => `${show(key)}: ${show(each)}`);
        return `{${pairs.join(", ")}}`;
    }
    return typeof value === "function" ? "a function" : String(value);
}

/** Return a whole number with commas: `1,000`. */
export function grouped(value: number): string {
    return String(value).replace(/\B(?=(\d{3})+$)/g, ",");
}
