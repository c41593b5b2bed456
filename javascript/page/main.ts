/** The program of the page: the same text runs in the page and in its worker. */

import { element } from "./elements.js";
import { type Ask, engine, type Request, serve } from "./engine.js";
import { type Contents, show } from "./page.js";

const LARGE = 4_000_000; // characters of a model that takes long to open

if (typeof document === "undefined") {
    serve();
} else {
    run().catch((error: unknown) => {
        element("status").textContent = String(error);
    });
}

/**
 * Show the model. A worker keeps the page free while names are searched, but takes as long to start as the first names:
 * these come from the page itself, unless the model is large.
 */
async function run(): Promise<void> {
    const text = element("model").textContent ?? "";
    const contents: Contents = JSON.parse(text);
    let newest: Ask = text.length < LARGE ? engine() : inWorker();
    let inventing = newest; // names go on where they have begun
    await show(contents, (request) => {
        if (request.kind === "invent") {
            inventing = newest;
        }
        return (request.kind === "continue" ? inventing : newest)(request);
    });
    if (text.length < LARGE) {
        const worker = inWorker();
        await worker({ kind: "open", files: contents.files });
        newest = worker;
    }
}

/** Return what asks a worker, or answers by itself where a page may not start one. */
function inWorker(): Ask {
    type Waiting = { request: Request; resolve: (answer: unknown) => void; reject: (error: Error) => void };
    const waiting = new Map<number, Waiting>();
    let last = 0;
    let here: Ask | undefined;
    let worker: Worker;

    const answerHere = () => {
        here ??= engine();
        for (const { request, resolve, reject } of waiting.values()) {
            here(request).then(resolve, reject);
        }
        waiting.clear();
    };
    try {
        const program = new Blob([element("program").textContent ?? ""], { type: "text/javascript" });
        worker = new Worker(URL.createObjectURL(program));
        worker.onerror = answerHere;
        worker.onmessage = ({ data: [number, answer, problem] }: MessageEvent<[number, unknown, string?]>) => {
            const { resolve, reject } = waiting.get(number)!;
            waiting.delete(number);
            problem === undefined ? resolve(answer) : reject(new Error(problem));
        };
    } catch {
        here = engine();
    }
    return ((request: Request) =>
        here
            ? here(request)
            : new Promise<unknown>((resolve, reject) => {
                  waiting.set(++last, { request, resolve, reject });
                  worker.postMessage([last, request]);
              })) as Ask;
}
