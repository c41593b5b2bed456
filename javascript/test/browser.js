/** Chromium, and a server of a folder for it. */

import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { chromium } from "playwright-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
    "no-sandbox",
    "disable-gpu",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
];
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json" };

/** Start Chromium, with a user-data-dir that is empty. */
export function launch() {
    if (!existsSync(CHROMIUM)) {
        throw new Error(`no ${CHROMIUM}: install chromium (apt-get install chromium), or set CHROMIUM to its path`);
    }
    return chromium.launch({ executablePath: CHROMIUM, args: FLAGS.map((flag) => `--${flag}`) });
}

/** Serve the files of a folder; return the address and what stops the server. */
export async function serve(folder) {
    const server = createServer((request, response) => {
        const path = join(folder, new URL(request.url, "http://localhost").pathname.replace(/\/$/, "/index.html"));
        if (existsSync(path)) {
            response.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "application/octet-stream" });
            response.end(readFileSync(path));
        } else {
            response.writeHead(404).end();
        }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { address: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Open an address, wait for the items of a list, and return their texts; what goes wrong in the page is an error. */
export async function itemsAt(browser, address) {
    const page = await browser.newPage();
    const problems = [];
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on("requestfailed", (request) => problems.push(request.url()));
    await page.goto(address);
    try {
        await page.waitForSelector("li", { timeout: 20_000 });
        return await page.locator("li").allTextContents();
    } catch (error) {
        throw new Error(`${address}: ${problems.join("; ")}`, { cause: error });
    } finally {
        await page.close();
    }
}
