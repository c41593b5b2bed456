/** Validation of the options of `generate` and `stream`. */

import type { Where } from "./conditions.js";
import { MAX_LENGTH } from "./config.js";
import { Constraint } from "./constraints.js";
import { GenerationError, isRecord, isText, mustBe, show, wrongOption } from "./errors.js";
import { keyOf } from "./philox.js";
import type { Sampling } from "./sampling.js";
import { isBroken, nfc } from "./text.js";
import type { Vocabulary } from "./vocabulary.js";

/** The options that say how symbols are drawn, and what of. */
export interface SymbolOptions {
    /**
     * What the names are to be, for a model with conditions: a value for each condition that matters, such as
     * `{ sex: "f" }`. The others are left to the model. `model.conditions` lists the values.
     */
    where?: Where | null | undefined;
    /** Below 1 gives more usual names, above 1 less usual ones; 0 always takes the most probable symbol. 1 by default. */
    temperature?: number | null | undefined;
    /** Draw each symbol from this many of the most probable ones; from all by default. */
    topK?: number | null | undefined;
    /** Draw each symbol from the smallest set of most probable ones with at least this total probability. */
    topP?: number | null | undefined;
}

/** The options of `generate` and `stream`. */
export interface Options extends SymbolOptions {
    /** Start of every name, normalised to NFC; of whole words for a model of words. */
    prefix?: string | null | undefined;
    /** End of every name, normalised to NFC; of whole words for a model of words. */
    suffix?: string | null | undefined;
    /** Fewest symbols, that is characters or words, in a name, the prefix included. 1 by default. */
    minLength?: number | null | undefined;
    /**
     * Most symbols in a name, the prefix included. By default the length of the longest name of the list; if
     * `minLength`, the prefix or the suffix is longer, that.
     */
    maxLength?: number | null | undefined;
    /** Return no name twice in one call. */
    unique?: boolean | null | undefined;
    /** Return no name of the list that the model was made from. */
    novel?: boolean | null | undefined;
    /** Names not to return, spelled as the model spells them. */
    exclude?: Iterable<string> | null | undefined;
    /** Strings that no name contains; of whole words for a model of words. */
    avoid?: Iterable<string> | null | undefined;
    /** A whole number from 0 to 2^128 - 1, or a string, taken as it is; by default a random number for each call. */
    seed?: number | bigint | string | null | undefined;
}

/** The names of the options of `generate`. */
export const NAMES = [
    "where",
    "prefix",
    "minLength",
    "maxLength",
    "suffix",
    "avoid",
    "novel",
    "exclude",
    "temperature",
    "topK",
    "topP",
    "unique",
    "seed",
];

type Given<T> = { [K in keyof T]: Exclude<T[K], null> };

/** Checked options for one seeded stream of names and one vocabulary. */
export interface Plan {
    /** Ids that every name starts with. */
    prefix: readonly number[];
    sampling: Sampling;
    /** Whether each name may occur only once. */
    unique: boolean;
    /** Texts of names not to return. */
    exclude: ReadonlySet<string>;
    /** The names of the list if `novel` excludes them. */
    known: ReadonlySet<number> | undefined;
    /** What lengths, suffix and strings to avoid ask of a name. */
    constraint: Constraint;
    /** Whether it asks only for a symbol and the model's own greatest length, as nearly all names have. */
    trivial: boolean;
    /** Whether every name is the same. */
    constant: boolean;
    /** The state of the constraint after the prefix. */
    start: number;
    /** The key of the seed, or a random one. */
    key: bigint;
    /** Uniform numbers reserved for each name. */
    draws: number;
    /** Equal for plans whose names are drawn alike, but for the seed and what is rejected. */
    method: string;
}

/**
 * Check options against each other and against a model, and return them as a plan.
 *
 * @param longest - the model's own greatest length.
 * @param known - the names of the list, if the model includes their hashes.
 * @throws {@link OptionError} if an option is out of range or contradicts another.
 * @throws {@link VocabularyError} if the prefix or the suffix contains an unknown symbol.
 */
export function planOf(
    asked: Options | null,
    vocabulary: Vocabulary,
    longest: number,
    known: ReadonlySet<number> | undefined,
): Plan {
    const options = given(asked, NAMES);
    const prefix = vocabulary.encode(string("prefix", options.prefix));
    const suffix = vocabulary.encode(string("suffix", options.suffix));
    const minLength = integer("minLength", options.minLength ?? 1, 1, MAX_LENGTH);
    const least = Math.max(longest, minLength, prefix.length, suffix.length);
    const { maxLength = least } = options;
    integer("maxLength", options.maxLength ?? 1, 1, MAX_LENGTH); // a longer prefix may ask for more
    if (minLength > maxLength) {
        wrongOption("minLength", minLength, `minLength ${minLength} is greater than maxLength ${maxLength}`);
    }
    for (const [option, ids] of [["prefix", prefix] as const, ["suffix", suffix] as const]) {
        if (ids.length > maxLength) {
            const has = `${option} ${show(options[option])} has ${ids.length} ${vocabulary.unit}s`;
            wrongOption(option, options[option], `${has}, more than maxLength ${maxLength}`);
        }
    }
    const novel = boolean("novel", options.novel);
    if (novel && known === undefined) {
        const why = "this model has no hashes of its training names, because its recipe sets novelty=false";
        wrongOption("novel", novel, `novel: ${why}`);
    }
    const avoid = avoided(options.avoid ?? [], vocabulary, maxLength);
    const constraint = new Constraint(
        vocabulary.symbols.length + 1,
        minLength,
        maxLength,
        suffix,
        avoid,
        vocabulary.unknown,
    );
    const start = constraint.unrestricted ? 0 : prefix.reduce((state, id) => constraint.after(state, id), 0);
    if (!constraint.viable(prefix.length, start)) {
        noMatch(options, constraint, vocabulary);
    }
    const sampling = samplingOf(options);
    const draws = Math.ceil((Math.max(maxLength, longest) + 1) / 4) * 4;
    const { temperature, topK } = sampling;
    return {
        prefix,
        sampling,
        unique: boolean("unique", options.unique),
        exclude: new Set(
            strings("exclude", options.exclude ?? []).map((name) =>
                vocabulary.split(nfc(name)).join(vocabulary.separator),
            ),
        ),
        known: novel ? known : undefined,
        constraint,
        trivial: constraint.unrestricted && minLength === 1 && maxLength >= longest,
        constant: temperature === 0 || topK === 1,
        start,
        key: keyOf(seedOf(options.seed)),
        draws,
        method: JSON.stringify([sampling, prefix, constraint.key, draws]),
    };
}

/** Return how logits become weights. */
export function samplingOf({ temperature = 1, topK, topP }: Given<SymbolOptions>): Sampling {
    return {
        temperature: valid(
            "temperature",
            temperature,
            "a finite number 0 or more",
            is(temperature, 0, Number.MAX_VALUE),
        ),
        topK: topK === undefined ? topK : integer("topK", topK, 1),
        topP:
            topP === undefined
                ? topP
                : valid("topP", topP, "a finite number greater than 0 and at most 1", topP > 0 && is(topP, 0, 1)),
    };
}

/**
 * Check that a plan allows `n` names.
 *
 * @throws {@link GenerationError} if names must be unique, and prefix and constraints allow fewer.
 */
export function checkEnough({ unique, constraint, prefix, start }: Plan, n: number): void {
    const available = unique ? constraint.count(prefix.length, start) : n;
    if (n > available) {
        throw new GenerationError(
            `unique: ${n} different names were requested, but the constraints allow ${available}; ` +
                "ask for fewer names or loosen the options",
        );
    }
}

/**
 * Return the options that are given: `null` and `undefined` stand for the default.
 *
 * @throws {@link OptionError} for what is no object.
 * @throws TypeError for an option that does not exist; `pattern` is one that only Python has.
 */
export function given<T extends object>(options: T | null | undefined, known: readonly string[]): Given<T> {
    const asked = options ?? {};
    if (!isRecord(asked)) {
        mustBe("options", options, "an object");
    }
    const unknown = Object.keys(asked)
        .filter((name) => !known.includes(name))
        .sort()[0];
    if (unknown === "pattern") {
        const why = "only the Python library has patterns; use prefix, suffix, avoid, minLength and maxLength";
        wrongOption("pattern", (asked as { pattern: unknown }).pattern, `pattern: ${why}`);
    }
    if (unknown !== undefined) {
        throw new TypeError(`unknown option ${show(unknown)}; the options are ${known.join(", ")}`);
    }
    return Object.fromEntries(
        Object.entries(asked).filter(([, value]) => value !== null && value !== undefined),
    ) as Given<T>;
}

/** Return a whole number within its bounds, or throw an {@link OptionError}. */
export function integer(option: string, value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): number {
    // A bound that is only the language's own is not spoken of unless it is exceeded.
    const bounds =
        most > MAX_LENGTH && !((value as number) > most) ? `, ${least} or more` : ` from ${least} to ${most}`;
    return valid(option, value, `a whole number${bounds}`, Number.isInteger(value) && is(value, least, most)) as number;
}

function is(value: unknown, least: number, most: number): boolean {
    return typeof value === "number" && value >= least && value <= most;
}

/** Return a value if it is right, or throw an {@link OptionError}. */
export function valid<T>(option: string, value: T, expected: string, isRight: boolean): T {
    if (!isRight) {
        mustBe(option, value, expected);
    }
    return value;
}

function boolean(option: string, value: unknown = false): boolean {
    return valid(option, value, "true or false", typeof value === "boolean") as boolean;
}

/** Return a text, empty by default, or throw an {@link OptionError}. */
export function string(option: string, value: unknown = ""): string {
    return valid(option, value, "a string", isText(value)) as string;
}

/** Return an iterable of strings as a list, or throw an {@link OptionError}. */
export function strings(
    option: string,
    values: unknown,
    expected = "a list of strings, even for a single one",
): string[] {
    valid(option, values, expected, typeof values === "object" && values !== null && Symbol.iterator in values);
    return [...(values as Iterable<unknown>)].map((item, index) => {
        if (!isText(item)) {
            wrongOption(option, values, `${option}[${index}] must be a string, not ${show(item)}`);
        }
        return item;
    });
}

/** Return strings as ids, without those that no name can contain. */
function avoided(texts: unknown, vocabulary: Vocabulary, maxLength: number): number[][] {
    const found = new Map<string, number[]>();
    for (const text of strings("avoid", texts)) {
        const symbols = vocabulary.split(nfc(text));
        if (!symbols.length) {
            wrongOption("avoid", "", "avoid must not contain the empty string, which every name contains");
        }
        const ids = vocabulary.idsOf(symbols).filter((id) => id !== undefined);
        if (ids.length === symbols.length && ids.length <= maxLength) {
            found.set(ids.join(), ids);
        }
    }
    return [...found.values()];
}

/** Throw the error for constraints that no name meets. */
function noMatch(options: Given<Options>, { minLength, maxLength }: Constraint, vocabulary: Vocabulary): never {
    const lengths = minLength < maxLength ? `${minLength} to ${maxLength}` : `${minLength}`;
    const avoid = options.avoid && [...options.avoid].length > 0;
    const parts = [
        options.prefix ? `starts with ${show(options.prefix)}` : "",
        options.suffix ? `ends in ${show(options.suffix)}` : "",
        avoid ? "contains none of the strings to avoid" : "",
    ].filter(Boolean);
    const option = options.suffix ? "suffix" : "avoid";
    const names = `no name of ${lengths} ${vocabulary.unit}s ${parts.join(" and ")}`;
    wrongOption(option, options[option], `${names} in the model's alphabet (${vocabulary.describe()})`);
}

function seedOf(seed: unknown): bigint | string {
    if (seed === undefined) {
        const [low, high] = crypto.getRandomValues(new Uint32Array(2));
        return (BigInt(high) << 32n) + BigInt(low);
    }
    if (isText(seed)) {
        return valid("seed", seed, "text without lone surrogates", !isBroken(seed));
    }
    const number = Number.isSafeInteger(seed) ? BigInt(seed as number) : seed;
    const isRight = typeof number === "bigint" && number >= 0n && number < 1n << 128n;
    const asBigint = Number.isInteger(number) ? " (write a bigint from 2**53 on)" : "";
    valid("seed", seed, `a whole number from 0 to 2**128 - 1${asBigint}, or a string`, isRight);
    return number as bigint;
}
