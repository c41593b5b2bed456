/** What the page asks of its model, in a worker of its own, so that a slow request never stops the page. */

import { type Files, NOVELTY, readFiles } from "../src/artifact.js";
import { SequentiaError } from "../src/errors.js";
import { Model } from "../src/model.js";
import type { Options } from "../src/options.js";

/** The files of a model as the page holds them: packed by gzip, in base64; hashes byte by byte, see `together`. */
export type Packed = Record<string, string>;

/** What a page shows of its model. */
export interface About {
    maxLength: number;
    /** Whether its symbols are words. */
    ofWords: boolean;
    /** Whether its names run from right to left. */
    fromRight: boolean;
    conditions: Record<string, string[]>;
    /** Whether the option `novel` is there. */
    knowsItsNames: boolean;
}

/** A symbol that may follow, and its probability. Nothing stands for the end. */
export type Share = [symbol: string, probability: number];

/** How a name is drawn. */
export interface Drawn {
    /** Natural logarithm of the name's probability. */
    score: number;
    /** The words that the model lacks; the steps end before the first of them. */
    lacking: string[];
    steps: Step[];
}

/** How a symbol is drawn. */
export interface Step {
    before: string;
    symbol: string;
    /** The most probable symbols, and the drawn one. */
    shares: Share[];
}

/** The names so far. */
export interface Invented {
    names: string[];
    /** Why there are fewer than asked for, and no more to come. */
    problem?: string;
    /** Whether there are more to come; `continue` asks for them. */
    more: boolean;
}

export type Request =
    | { kind: "open"; files: Packed }
    | { kind: "invent"; count: number; options: Options }
    | { kind: "continue" }
    | { kind: "look"; name: string; options: Options; most: number };

/** Ask a model; the answer to `open` is {@link About}, to `invent` {@link Invented}, to `look` {@link Drawn}. */
export type Ask = <T>(request: Request) => Promise<T>;

const SLICE = 8; // milliseconds, after which names are shown and newer options are looked at

/** Return what answers requests, without a worker. */
export function engine(): Ask {
    let model: Model;
    let names: string[];
    let stream: Iterator<string> | undefined;
    let wanted = 0;

    async function answer(request: Request): Promise<unknown> {
        switch (request.kind) {
            case "open": {
                const files = Object.entries(request.files).map(async ([name, text]) => {
                    const bytes = await unpacked(text);
                    return [name, name === NOVELTY ? together(bytes) : bytes];
                });
                // `sequentia page` has proven the model, and unpacking has found no damage.
                model = new Model(readFiles(Object.fromEntries(await Promise.all(files)) as Files, "model", true));
                return about(model);
            }
            case "invent":
                [names, stream, wanted] = [[], undefined, request.count];
                return invented(() => {
                    stream = model.stream(request.options);
                });
            case "continue":
                return invented(() => {});
            case "look":
                return drawn(model, request.name, request.options, request.most);
        }
    }

    function invented(start: () => void): Invented {
        const until = performance.now() + SLICE;
        try {
            start();
            while (names.length < wanted && (!names.length || performance.now() < until)) {
                names.push(stream!.next().value);
            }
        } catch (error) {
            if (!(error instanceof SequentiaError)) {
                throw error;
            }
            return { names, problem: error.message, more: false };
        }
        return { names, more: names.length < wanted };
    }

    return answer as Ask;
}

/** Answer the requests that come as messages `[number, request]` by `[number, answer]` or `[number, null, problem]`. */
export function serve(): void {
    const ask = engine();
    self.onmessage = async ({ data: [number, request] }: MessageEvent<[number, Request]>) => {
        try {
            self.postMessage([number, await ask(request)]);
        } catch (error) {
            self.postMessage([number, null, error instanceof Error ? error.message : String(error)]);
        }
    };
}

async function unpacked(text: string): Promise<Uint8Array> {
    const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return hashes, of which the first bytes stand before all second ones, and so on, because that packs better. */
function together(bytes: Uint8Array): Uint8Array {
    return bytes.map((_, i) => bytes[(i % 4) * (bytes.length / 4) + Math.floor(i / 4)]);
}

/** Return what a text in base64 holds; `Uint8Array.fromBase64` is newer than two years. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
    const { fromBase64 } = Uint8Array as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> };
    if (fromBase64) {
        return fromBase64.call(Uint8Array, text);
    }
    const characters = atob(text);
    const bytes = new Uint8Array(characters.length);
    for (let i = 0; i < bytes.length; i++) {
        bytes[i] = characters.charCodeAt(i);
    }
    return bytes;
}

function about({ config, vocabulary, conditions, knowsItsNames }: Model): About {
    const letters = vocabulary.symbols.join("").match(/\p{L}/gu) ?? [];
    const fromRight =
        /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;
    return {
        maxLength: config.max_length,
        ofWords: vocabulary.unknown > 0,
        fromRight: 2 * letters.filter((letter) => fromRight.test(letter)).length > letters.length,
        conditions,
        knowsItsNames,
    };
}

function drawn(model: Model, name: string, { where, temperature }: Options, most: number): Drawn {
    const { vocabulary } = model;
    const score = model.score(name, { where: where ?? null });
    const lacking = vocabulary.unknown ? model.unknownWords(name) : [];
    const symbols = [...vocabulary.split(name.normalize("NFC")), ""];
    const known = lacking.length ? symbols.indexOf(lacking[0]) : symbols.length;
    const steps = symbols.slice(0, known).map((symbol, place) => {
        const before = symbols.slice(0, place).join(vocabulary.separator);
        const all = [...model.nextSymbols(before, { where, temperature })];
        const shares = all.slice(0, most);
        if (!shares.some(([each]) => each === symbol)) {
            shares.splice(-1, 1, all.find(([each]) => each === symbol)!);
        }
        return { before, symbol, shares };
    });
    return { score, lacking, steps };
}
