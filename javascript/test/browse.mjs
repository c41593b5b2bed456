/**
 * Open pages in Chromium as people do, and print what they show: JSON on standard input and output.
 *
 * Each page has `file`, and perhaps `width`, `scheme` (`light` or `dark`), `picture` (a file for a screenshot) and
 * `steps`: the fields to fill, by id, then what to click. After each step the result has the names that are shown.
 */

import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import axe from "axe-core";
import { chromium } from "playwright-core";

const FLAGS = [
    "no-sandbox",
    "disable-gpu",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
];

const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS.map((flag) => `--${flag}`),
});

async function browse({ file, hash = "", width = 1280, scheme = "light", picture, steps = [] }) {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
    const found = { problems: [], requests: [], shown: [] };
    page.on("pageerror", (error) => found.problems.push(error.message));
    page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") {
            found.problems.push(message.text());
        }
    });
    page.on("request", (request) => {
        if (!/^(blob|data):/.test(request.url())) {
            found.requests.push(request.url());
        }
    });

    async function shown() {
        await page.waitForFunction(() => document.getElementById("list").dataset.of === location.hash);
        return page.evaluate(() => ({
            names: [...document.querySelectorAll("#list li")].map((item) => item.textContent),
            status: document.getElementById("status").textContent,
            hash: location.hash,
        }));
    }

    await page.goto(`${pathToFileURL(file)}${hash}`);
    found.shown.push(await shown());
    for (const { fill = {}, click = [] } of steps) {
        for (const [id, value] of Object.entries(fill)) {
            const field = page.locator(`[id="${id}"]`);
            const kind = await field.evaluate((each) => (each.tagName === "SELECT" ? "select" : each.type));
            await (kind === "select" ? field.selectOption(value) : field.fill(value));
        }
        for (const selector of click) {
            await page.click(selector);
        }
        found.shown.push(await shown());
    }
    await page.locator("#list button").first().click();
    await page.waitForSelector("#steps table");
    found.verdict = await page.textContent("#verdict");
    found.steps = await page.$$eval("#steps table", (tables) =>
        tables.map((table) => [table.caption.textContent, table.querySelector(".chosen td").textContent]),
    );
    found.sideways = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
    await page.addScriptTag({ content: axe.source });
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    found.violations = violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
    if (picture) {
        await page.screenshot({ path: picture, fullPage: true });
    }
    await page.close();
    return found;
}

const results = [];
for (const page of JSON.parse(await text(process.stdin))) {
    results.push(await browse(page));
}
await browser.close();
process.stdout.write(JSON.stringify(results));
