/** What the page asks of its model, in a worker of its own, so that a slow request never stops the page. */

import type { Files } from "../src/artifact.js";
import { SequentiaError } from "../src/errors.js";
import { Model } from "../src/model.js";
import type { Options } from "../src/options.js";

/** The files of a model as the page holds them: packed by gzip, in base64. */
export type Packed = Record<string, string>;

/** What a page shows of its model. */
export interface About {
    maxLength: number;
    /** Whether its symbols are words. */
    ofWords: boolean;
    conditions: Record<string, string[]>;
    /** Whether the option `novel` is there. */
    knowsItsNames: boolean;
}

/** A symbol that may follow, and its probability. Nothing stands for the end. */
export type Share = [symbol: string, probability: number];

/** How a name was drawn. */
export interface Drawn {
    /** Natural logarithm of the name's probability. */
    score: number;
    steps: { before: string; symbol: string; shares: Share[] }[];
}

/** Names, and what was wrong if there are fewer than asked for. */
export interface Invented {
    names: string[];
    problem?: string;
}

export type Request =
    | { kind: "open"; files: Packed }
    | { kind: "invent"; count: number; options: Options }
    | { kind: "look"; name: string; options: Options; most: number };

/** Ask a model; the answer to `open` is {@link About}, to `invent` {@link Invented}, to `look` {@link Drawn}. */
export type Ask = <T>(request: Request) => Promise<T>;

/** Return what answers requests, without a worker. */
export function engine(): Ask {
    let model: Model | undefined;

    async function answer(request: Request): Promise<unknown> {
        if (request.kind === "open") {
            const files = Object.entries(request.files).map(async ([name, text]) => [name, await unpacked(text)]);
            model = Model.from(Object.fromEntries(await Promise.all(files)) as Files);
            return about(model);
        }
        if (model === undefined) {
            throw new Error("no model is open");
        }
        return request.kind === "invent"
            ? invented(model, request.count, request.options)
            : drawn(model, request.name, request.options, request.most);
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
    const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
}

function about(model: Model): About {
    return {
        maxLength: model.config.max_length,
        ofWords: model.vocabulary.unknown > 0,
        conditions: model.conditions,
        knowsItsNames: model.knowsItsNames,
    };
}

function invented(model: Model, count: number, options: Options): Invented {
    try {
        return { names: model.generate(count, options) };
    } catch (error) {
        if (!(error instanceof SequentiaError)) {
            throw error;
        }
        const names = "names" in error ? (error.names as string[]) : [];
        return { names, problem: error.message };
    }
}

function drawn(model: Model, name: string, { where, temperature, topK, topP }: Options, most: number): Drawn {
    const ids = model.vocabulary.encode(name, model.vocabulary.unknown);
    const score = model.score(name, { where: where ?? null });
    const symbols = [...ids].map((id) => model.vocabulary.symbols[id - 1]);
    const steps = [...symbols, ""].map((symbol, place) => {
        const before = model.vocabulary.decode([...ids].slice(0, place));
        const all = [...model.nextSymbols(before, { where, temperature, topK, topP })];
        const shares = all.slice(0, most);
        if (!shares.some(([each]) => each === symbol)) {
            shares[most - 1] = all.find(([each]) => each === symbol) ?? [symbol, 0];
        }
        return { before, symbol, shares };
    });
    return { score, steps };
}
