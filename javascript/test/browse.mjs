/**
 * Open pages in Chromium as people do, and print what they show: JSON on standard input and output.
 *
 * Each page has `file`, a path or an address, and perhaps `hash`, `width`, `scheme` (`light` or `dark`) and `steps`: fields
 * to fill by id, what to click, what to give the focus, keys to press. After each step the result has the names that are shown, and what is said
 * of them.
 */

import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";
import axe from "axe-core";
import { launch } from "./browser.js";

const browser = await launch();

async function browse({ file, hash = "", width = 1280, scheme = "light", steps = [] }) {
    const viewport = { width, height: 900 };
    const context = await browser.newContext({ viewport, colorScheme: scheme, reducedMotion: "reduce" });
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const page = await context.newPage();
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
            temperature: document.getElementById("temperature-value").textContent,
            focus: document.activeElement.id || document.activeElement.textContent,
        }));
    }

    await page.goto(`${file.includes("://") ? file : pathToFileURL(file)}${hash}`);
    found.shown.push(await shown());
    for (const { fill = {}, click = [], focus = "", press = [] } of steps) {
        for (const [id, value] of Object.entries(fill)) {
            const field = page.locator(`[id="${id}"]`);
            const isChoice = await field.evaluate((each) => each.tagName === "SELECT");
            await (isChoice ? field.selectOption(value) : field.fill(value));
        }
        for (const selector of click) {
            await page.click(selector);
        }
        if (focus) {
            await page.locator(focus).first().focus();
        }
        for (const key of press) {
            await page.keyboard.press(key);
        }
        await page.evaluate(() => new Promise(requestAnimationFrame));
        found.shown.push(await shown());
    }

    await page.locator("#list button").nth(1).focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => {
        const name = document.querySelector("#list button").textContent;
        return document.querySelector("#verdict").textContent.startsWith(`${name}:`);
    });
    Object.assign(
        found,
        await page.evaluate(() => ({
            verdict: document.querySelector("#verdict").textContent,
            steps: [...document.querySelectorAll("#steps table")].map((table) => [
                table.caption.textContent,
                table.querySelector(".drawn td").textContent,
            ]),
            direction: document.getElementById("list").dir,
            labels: [...document.querySelectorAll("#picture text")].map((each) => each.textContent),
            places: document.querySelectorAll("#picture text, #picture circle").length,
            isTooWide: document.documentElement.scrollWidth > innerWidth,
        })),
    );
    await page.click("#copy");
    await page.waitForFunction(() => document.getElementById("status").textContent.endsWith("copied"));
    found.copied = await page.evaluate(() => navigator.clipboard.readText());
    const downloading = page.waitForEvent("download");
    await page.click("#download");
    found.downloaded = readFileSync(await (await downloading).path(), "utf8");

    await page.emulateMedia({ media: "print" });
    found.printed = await page.evaluate(() => ({
        line: document.getElementById("printed").textContent,
        isShown: document.getElementById("printed").checkVisibility(),
        hidden: ["#options", "#again", "#copy", "#name"].filter(
            (each) => !document.querySelector(each).checkVisibility(),
        ),
        isCut: [...document.querySelectorAll("#list, #steps")].some(
            (each) => each.scrollHeight > each.clientHeight + 1,
        ),
        isTooWide: document.documentElement.scrollWidth > innerWidth,
    }));
    await page.emulateMedia({ media: null });

    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => globalThis.axe.run());
    found.violations = violations
        .filter(({ impact }) => impact === "serious" || impact === "critical")
        .map(({ id, nodes }) => `${id}: ${nodes[0].html}`);
    await context.close();
    return found;
}

const results = [];
for (const page of JSON.parse(await text(process.stdin))) {
    results.push(await browse(page));
}
await browser.close();
process.stdout.write(JSON.stringify(results));
