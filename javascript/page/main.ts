/** The program of the page: the same text runs in the page and in its worker. */

import { element } from "./elements.js";
import { type Ask, engine, type Request, serve } from "./engine.js";
import { show } from "./page.js";

if (typeof document === "undefined") {
    serve();
} else {
    const ask = inWorker(element("program").textContent ?? ""); // it starts while the browser reads the model
    document.addEventListener("DOMContentLoaded", () => {
        show(JSON.parse(element("model").textContent ?? ""), ask).catch((error: unknown) => {
            element("status").textContent = String(error);
        });
    });
}

/** Return what asks a worker, or answers by itself where a page may not start one. */
function inWorker(program: string): Ask {
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
        worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })));
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
