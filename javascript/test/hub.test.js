/** Models from addresses and from the hub, over real HTTP. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";
import { ArtifactError, HubError, load, Model, ModelNotFoundError, OptionError } from "sequentia";
import { files, folder } from "./data.js";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";
const model = files("mlp-relu");
const requests = [];

/** A cache as browsers have it; Node 20 has none. */
const stored = new Map();
const caches = {
    open: async () => ({
        match: async (key) => stored.get(key)?.clone(),
        put: async (key, response) => void stored.set(key, response),
    }),
};

const server = createServer((request, response) => {
    const [, owner, , , revision, file] = request.url.split("/");
    requests.push(request.url);
    if (owner === "busy") {
        response.writeHead(503).end();
    } else if (owner === "private" && request.headers.authorization !== "Bearer secret") {
        response.writeHead(401).end();
    } else if (owner === "endless") {
        response.writeHead(200);
        const chunk = Buffer.alloc(1 << 16, " ");
        const timer = setInterval(() => response.write(chunk), 1);
        response.on("close", () => clearInterval(timer));
    } else if (!model[file] || !["main", "v1", COMMIT].includes(revision)) {
        response.writeHead(404).end();
    } else if (owner === "damaged" && file === "model.safetensors") {
        response.end(model[file].map((byte, i) => (i === 600 ? byte ^ 1 : byte)));
    } else {
        response.end(model[file]);
    }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
after(() => server.close());
const endpoint = `http://127.0.0.1:${server.address().port}`;

test("a folder, its address, and the hub give the same model", async () => {
    const expected = (await load(folder("mlp-relu"))).generate(5, { seed: 0 });
    const sources = [
        [pathToFileURL(folder("mlp-relu"))],
        [pathToFileURL(folder("mlp-relu")).href],
        [`${endpoint}/you/names/resolve/main`],
        [new URL(`${endpoint}/you/names/resolve/main/`)],
        ["you/names", { endpoint }],
        ["you/names@v1", { endpoint }],
        ["you/names", { endpoint: `${endpoint}/`, revision: "v1" }],
        ["private/names", { endpoint, token: "secret" }],
    ];
    for (const source of sources) {
        assert.deepEqual((await load(...source)).generate(5, { seed: 0 }), expected);
    }
    assert.ok(!requests.some((url) => url.includes("onnx")));
});

test("what is not there, or may not be read", async () => {
    const missing = { name: "ModelNotFoundError" };
    await assert.rejects(load("you/names@v2", { endpoint }), missing);
    await assert.rejects(load("private/names", { endpoint }), missing);
    await assert.rejects(load(`${endpoint}/nothing`), missing);
    await assert.rejects(load(pathToFileURL("/no/such/folder")), ModelNotFoundError);
    await assert.rejects(
        load("busy/names", { endpoint }),
        (error) => error instanceof HubError && error.status === 503,
    );
    await assert.rejects(load("you/names", { endpoint: "http://127.0.0.1:9" }), HubError);
    for (const revision of ["", "../..", "a b", "a/../b", "a?b"]) {
        await assert.rejects(load("you/names", { endpoint, revision }), OptionError);
    }
    await assert.rejects(load("you/names@v1", { endpoint, revision: "main" }), OptionError);
    for (const [option, value, message] of [
        ["endpoint", "zzz", "endpoint must be an address with https: or http:, not 'zzz'"],
        ["endpoint", "localhost:8080", "endpoint must be an address with https: or http:, not 'localhost:8080'"],
        ["endpoint", 5, "endpoint must be an address with https: or http:, not 5"],
        ["token", 5, "token must be a string, not 5"],
        ["token", "secret\n", "token must be of visible ASCII characters"],
        ["signal", 5, "signal must be an AbortSignal, not 5"],
        ["signal", {}, "signal must be an AbortSignal, not {}"],
        ["revision", 5, "revision must be a string, not 5"],
    ]) {
        await assert.rejects(load("you/names", { endpoint, [option]: value }), {
            name: "OptionError",
            option,
            message,
        });
    }
    const stopped = AbortSignal.abort();
    await assert.rejects(load("you/names", { endpoint, signal: stopped }), { name: "AbortError" });
});

test("only what is on the hub has revisions", async () => {
    const address = pathToFileURL(folder("mlp-relu"));
    for (const place of ["names", folder("mlp-relu"), address, address.href]) {
        const message = `'${place}' is a folder or a bundled model, which has no revisions`;
        await assert.rejects(load(place, { revision: "v1" }), { name: "OptionError", option: "revision", message });
    }
    for (const inMemory of [model, Model.from(model)]) {
        const message = "this is a model in memory, which has no revisions";
        await assert.rejects(load(inMemory, { revision: "v1" }), { name: "OptionError", message });
        assert.ok(await load(inMemory, { revision: null }));
    }
});

test("what is damaged, or has no end", async () => {
    await assert.rejects(load("damaged/names", { endpoint }), (error) => {
        assert.ok(error instanceof ArtifactError);
        assert.match(error.message, /^damaged\/names@main\/model.safetensors: expected .* as config.json says/);
        return true;
    });
    await assert.rejects(load("endless/names", { endpoint }), /at most 4194304 bytes/);
});

test("the cache is used, and checked", async () => {
    globalThis.caches = caches;
    after(() => delete globalThis.caches);
    await load(`you/names@${COMMIT}`, { endpoint });
    requests.length = 0;
    await load(`you/names@${COMMIT}`, { endpoint });
    assert.deepEqual(requests, []);

    await load("you/names", { endpoint });
    requests.length = 0;
    await load("you/names", { endpoint });
    assert.deepEqual(requests, ["/you/names/resolve/main/config.json"]); // the branch may have moved

    for (const key of [...stored.keys()].filter((key) => key.includes("safetensors"))) {
        stored.set(key, new Response("damaged"));
    }
    requests.length = 0;
    await load("you/names", { endpoint });
    assert.ok(requests.includes("/you/names/resolve/main/model.safetensors"));

    const offline = `${endpoint.slice(0, -1)}${(Number(endpoint.at(-1)) + 1) % 10}`;
    for (const [key, response] of [...stored]) {
        stored.set(key.replace(endpoint, offline), response.clone());
    }
    await load("you/names", { endpoint: offline }); // without a network, what was there last
});
