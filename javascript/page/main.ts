/** The program of the page: the same text runs in the page and in its worker. */

import { type Ask, engine, type Request, serve } from "./engine.js";
import { show } from "./page.js";

if (typeof document === "undefined") {
    serve();
} else {
    const contents = JSON.parse(document.getElementById("model")?.textContent ?? "");
    const program = document.getElementById("program")?.textContent ?? "";
    show(contents, inWorker(program) ?? engine()).catch((error: unknown) => {
        (document.getElementById("status") as HTMLElement).textContent = String(error);
    });
}

/** Return what asks a worker, or nothing where a page may not start one. */
function inWorker(program: string): Ask | undefined {
    let worker: Worker;
    try {
        worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })));
    } catch {
        return undefined;
    }
    const waiting = new Map<number, [(answer: never) => void, (error: Error) => void]>();
    let last = 0;
    worker.onmessage = ({ data: [number, answer, problem] }: MessageEvent<[number, never, string?]>) => {
        const [resolve, reject] = waiting.get(number) ?? [];
        waiting.delete(number);
        problem === undefined ? resolve?.(answer) : reject?.(new Error(problem));
    };
    return ((request: Request) =>
        new Promise((resolve, reject) => {
            waiting.set(++last, [resolve, reject]);
            worker.postMessage([last, request]);
        })) as Ask;
}
