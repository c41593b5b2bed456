/** The examples run, and give the names that Node gives. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { load } from "sequentia";
import { build, createServer } from "vite";
import { itemsAt, launch, serve } from "./browser.js";
import { installed, remove } from "./packed.js";

const EXAMPLES = fileURLToPath(new URL("../examples", import.meta.url));
const model = await load();
const expected = model.generate(10, { seed: 42 });

test("the script", () => {
    const run = (...options) =>
        execFileSync(process.execPath, [join(EXAMPLES, "names.js"), ...options], { encoding: "utf8" });
    assert.deepEqual(run().trim().split("\n"), model.generate(10, { seed: 42, unique: true }));
    assert.deepEqual(run("3", "a text").trim().split("\n"), model.generate(3, { seed: "a text", unique: true }));
});

test("the service", async () => {
    const service = spawn(process.execPath, [join(EXAMPLES, "service.js")], { env: { ...process.env, PORT: "0" } });
    after(() => service.kill());
    const address = `${await new Promise((resolve) => service.stdout.once("data", resolve))}`.trim();
    const ask = async (query) => {
        const answer = await fetch(`${address}?${query}`);
        return [answer.status, await answer.json()];
    };
    assert.deepEqual(await ask("seed=42"), [200, { names: expected }]);
    const options = { seed: 7, prefix: "ma", maxLength: 6, temperature: 0.5 };
    const names = model.generate(3, options);
    assert.deepEqual(await ask(`n=3&${new URLSearchParams(options)}`), [200, { names }]);
    const [status, { error }] = await ask("prefix=42");
    assert.equal(status, 400);
    assert.match(error, /not in the vocabulary/);
});

test("in a browser", async (all) => {
    const browser = await launch();
    const app = installed("vite");
    cpSync(join(EXAMPLES, "vite"), app, { recursive: true });
    after(async () => {
        await browser.close();
        remove(app);
    });

    await all.test("the page", async () => {
        const { address, close } = await serve(fileURLToPath(new URL("..", import.meta.url)));
        after(close);
        assert.deepEqual(await itemsAt(browser, `${address}/examples/page.html`), expected);
    });

    await all.test("the app of Vite, built", async () => {
        await build({ root: app, logLevel: "error", base: "./" });
        const { address, close } = await serve(app);
        after(close);
        assert.deepEqual(await itemsAt(browser, `${address}/dist/`), expected);
    });

    await all.test("the app of Vite, while it is developed", async () => {
        const server = await createServer({ root: app, logLevel: "error", server: { host: "127.0.0.1", port: 0 } });
        after(() => server.close());
        await server.listen();
        assert.deepEqual(await itemsAt(browser, server.resolvedUrls.local[0]), expected);
    });
});
