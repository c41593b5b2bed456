/**
 * Answer requests for names with JSON: `node service.js`, then http://127.0.0.1:8000/?n=3&seed=42&prefix=ma
 *
 * A wrong option is status 400, with the message of the library.
 */

import { createServer } from "node:http";
import { load, SequentiaError } from "sequentia";

const MOST = 1000; // names in one answer
const model = await load(); // once, so that all requests share what it remembers

/** Return the names that a query string asks for. */
function namesFor(query) {
    const { n = "10", seed, prefix, suffix, maxLength, temperature } = Object.fromEntries(query);
    return model.generate(Math.min(Number(n), MOST), {
        seed: seed && /^\d+$/.test(seed) ? BigInt(seed) : seed,
        prefix,
        suffix,
        maxLength: maxLength && Number(maxLength),
        temperature: temperature && Number(temperature),
    });
}

const server = createServer((request, response) => {
    const answer = (status, body) => {
        response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    };
    try {
        answer(200, { names: namesFor(new URL(request.url, "http://localhost").searchParams) });
    } catch (error) {
        const isTheirs = error instanceof SequentiaError;
        answer(isTheirs ? 400 : 500, { error: isTheirs ? error.message : "something went wrong" });
    }
});

server.listen(Number(process.env.PORT ?? 8000), "127.0.0.1", () => {
    console.log(`http://127.0.0.1:${server.address().port}/`);
});
