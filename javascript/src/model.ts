/** Loaded models: generating names, and computing probabilities of names and next symbols. */

import { type Artifact, type Files, readFiles } from "./artifact.js";
import { Bindings, type Bound } from "./bindings.js";
import { saidBy, type Where } from "./conditions.js";
import type { Config } from "./config.js";
import { GenerationError, grouped, isText, wrongOption } from "./errors.js";
import { streamNames } from "./generation.js";
import { logLikelihood } from "./likelihood.js";
import {
    checkEnough,
    given,
    integer,
    type Options,
    planOf,
    type SymbolOptions,
    samplingOf,
    strings,
} from "./options.js";
import { softmax } from "./sampling.js";
import type { Vocabulary } from "./vocabulary.js";

const MOST_NAMES = 2 ** 32 - 1; // that a list can hold

/** A loaded model. */
export class Model {
    private readonly bindings: Bindings;

    /** @internal */
    constructor(private readonly artifact: Artifact) {
        this.bindings = new Bindings(artifact);
    }

    /**
     * Return a model from its files, without waiting; `load` takes the same, and more.
     *
     * @throws {@link ArtifactError} if a file is missing, damaged or inconsistent.
     */
    static from(files: Files): Model {
        return new Model(readFiles(files, "model"));
    }

    /** The contents of `config.json`. */
    get config(): Config {
        return this.artifact.config;
    }

    /** The model's alphabet. */
    get vocabulary(): Vocabulary {
        return this.artifact.vocabulary;
    }

    /** Whether the model includes the hashes of the names of its list, which the option `novel` needs. */
    get knowsItsNames(): boolean {
        return this.artifact.known !== undefined;
    }

    /** The values of each condition that `where` takes, by its name; empty for a model without conditions. */
    get conditions(): Record<string, string[]> {
        return Object.fromEntries([...this.config.conditions].map(([name, values]) => [name, [...values]]));
    }

    /**
     * Return the first `n` names of a seeded stream.
     *
     * A seed is a promise: with it, the result is the same on every call, on every machine, and in Python. The names of
     * `generate(10)` are the first ones of `generate(1000)`.
     *
     * @throws {@link OptionError} if an option is out of range or contradicts another.
     * @throws {@link VocabularyError} if the prefix or the suffix contains a symbol that the model does not know.
     * @throws {@link GenerationError} if the options allow too few names; `error.names` is the list of those found.
     */
    generate(n = 1, options: Options | null = {}): string[] {
        integer("n", n, 0, MOST_NAMES);
        const plan = this.plan(options);
        checkEnough(plan, n);
        return this.take(n, streamNames(this.bound(options), this.vocabulary, plan));
    }

    /** Return an endless iterator of names; {@link generate} returns its start. */
    stream(options: Options | null = {}): Generator<string, never, void> {
        return streamNames(this.bound(options), this.vocabulary, this.plan(options));
    }

    /**
     * Return the names `first` … `first + count - 1` of a stream; consecutive shards joined together give the stream.
     *
     * @throws {@link OptionError} also with `unique`, which depends on other shards.
     */
    shard(first: number, count: number, options: Options | null = {}): string[] {
        integer("first", first, 0);
        integer("count", count, 0, MOST_NAMES);
        const plan = this.plan(options);
        if (plan.unique) {
            const message = "unique is not available for shards: a shard does not know the names of the others";
            wrongOption("unique", true, message);
        }
        return this.take(count, streamNames(this.bound(options), this.vocabulary, plan, first));
    }

    /**
     * Return the natural-log probability of a name, or of each name of a list: the sum of the log-probabilities of its
     * symbols and its end. Lengths play no part.
     *
     * @param names - in a model of words, the unknown word stands for those that {@link unknownWords} returns.
     * @throws {@link VocabularyError} if a name contains a character that the model lacks.
     */
    score(names: string, options?: { where?: Where | null }): number;
    score(names: Iterable<string>, options?: { where?: Where | null }): number[];
    score(names: string | Iterable<string>, options: { where?: Where | null } = {}): number | number[] {
        const { where } = given(options, ["where"]);
        const texts = isText(names) ? [names] : strings("names", names);
        const ids = texts.map((text) => this.vocabulary.encode(text, this.vocabulary.unknown));
        const bound = this.bound({ where });
        const scores = ids.map((each) => logLikelihood(each, bound));
        return isText(names) ? scores[0] : scores;
    }

    /** Return the words of a name that the model lacks, or the characters if it is a model of characters. */
    unknownWords(name: string): string[] {
        return this.vocabulary.lacking(strings("name", [name])[0]);
    }

    /**
     * Return the probability of each symbol that may follow a prefix, the most probable first.
     *
     * The key `""` is the end of the name, U+FFFD any word that a model of words lacks. With `temperature`, `topK` or
     * `topP`, the probabilities are those that names are drawn with: none is empty, and none has an unknown word.
     *
     * @throws {@link OptionError} if an option is wrong.
     * @throws {@link VocabularyError} if the prefix contains an unknown symbol.
     */
    nextSymbols(prefix = "", options: SymbolOptions = {}): Map<string, number> {
        const asked = given(options, ["where", "temperature", "topK", "topP"]);
        const [ids] = strings("prefix", [prefix]).map((text) => this.vocabulary.encode(text));
        const { where, ...others } = asked;
        const [sampling, bound] = [samplingOf(others), this.bound({ where })];
        const isPlain = !Object.keys(others).length;
        const found = isPlain ? softmax(bound.logits(ids)) : bound.shares(ids, sampling);
        const order = [...found.keys()].sort((a, b) => found[b] - found[a]);
        return new Map(order.map((id) => [id ? this.vocabulary.symbols[id - 1] : "", found[id]]));
    }

    /** Return the logits after the first ids of a name, in steps of 1/256 nat: whole numbers, one for each id. */
    logits(ids: readonly number[], options: { where?: Where | null } = {}): Int32Array {
        return this.bound(options).logits(ids);
    }

    private plan(options: Options | null) {
        return planOf(options, this.vocabulary, this.config.max_length, this.artifact.known);
    }

    private bound(options: { where?: Where | null | undefined } | null): Bound {
        return this.bindings.of(saidBy(options?.where, this.config.conditions));
    }

    private take(count: number, stream: Generator<string, never, void>): string[] {
        const names: string[] = [];
        try {
            while (names.length < count) {
                names.push(stream.next().value);
            }
        } catch (error) {
            if (error instanceof GenerationError && names.length) {
                const found =
                    names.length === 1 ? "1 name found so far is" : `${grouped(names.length)} names found so far are`;
                error.message += ` (the ${found} in error.names)`;
                error.names = names;
            }
            throw error;
        }
        return names;
    }
}
