/** The page of a model: names that change with the options, how each was drawn, and the alphabet as a picture. */

import type { Options } from "../src/options.js";
import type { About, Ask, Drawn, Invented, Packed } from "./engine.js";
import { type Point, picture } from "./picture.js";

/** What `sequentia page` puts into the page beside the program. */
export interface Contents {
    files: Packed;
    /** Names in the list that the model learnt from. */
    learnt: number;
    /** Where the symbols lie in the picture of the alphabet; empty if the model has no embedding. */
    points: Point[];
}

const AT_FIRST = 40;
const STEP = 40;
const MOST = 4000;
const SHARES = 8;

type State = Record<string, string>;

/** Show a model. */
export async function show(contents: Contents, ask: Ask): Promise<void> {
    const about = await ask<About>({ kind: "open", files: contents.files });
    const what = about.ofWords ? "titles" : "names";
    element("about").textContent =
        `Invented by a small neural network that learnt from ${contents.learnt.toLocaleString("en")} ${what}.`;
    new Page(about, ask).start();
    picture(contents.points, about.ofWords);
}

function element<T extends HTMLElement>(id: string): T {
    return document.getElementById(id) as T;
}

function created<K extends keyof HTMLElementTagNameMap>(
    tag: K,
    properties: Partial<HTMLElementTagNameMap[K]> = {},
    ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
}

class Page {
    private state: State = {};
    private names: string[] = [];
    private running = false;
    private wanted = false;

    constructor(
        private readonly about: About,
        private readonly ask: Ask,
    ) {}

    start(): void {
        this.build();
        this.read();
        window.addEventListener("hashchange", () => this.read());
        element("options").addEventListener("input", () => this.changed());
        element("options").addEventListener("submit", (event) => event.preventDefault());
        element("again").onclick = () => this.set("seed", newSeed());
        element("more").onclick = () => this.set("n", String(Math.min(MOST, this.count() + STEP)));
        element("copy").onclick = () => this.copy();
        element("download").onclick = () => this.download();
        element("name").addEventListener("input", () => this.look());
    }

    /** Make a field for each option that this model has. */
    private build(): void {
        const [one, many] = this.about.ofWords ? ["word", "words"] : ["letter", "letters"];
        const fields = element("fields");
        fields.append(
            text("prefix", "Starts with"),
            text("suffix", "Ends with"),
            ...Object.entries(this.about.conditions).map(([name, values]) => choice(`where.${name}`, name, values)),
            slider("temperature", "How daring", "0.1", "2", "0.05", "1"),
            created(
                "div",
                { className: "pair" },
                number("min", `Least ${many}`, 1, this.about.maxLength, "1"),
                number("max", `Most ${many}`, 1, this.about.maxLength, String(this.about.maxLength)),
            ),
            text("avoid", `Without (${one}s, commas between)`),
            check("unique", "Each name once", true),
            ...(this.about.knowsItsNames ? [check("novel", "Only new ones, none of its list", false)] : []),
            text("seed", "Seed: a number or a text"),
        );
    }

    /** Take the options over from the address. */
    private read(): void {
        this.state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
        this.state.seed ||= newSeed();
        for (const field of this.fields()) {
            const value = this.state[field.name];
            if (field instanceof HTMLInputElement && field.type === "checkbox") {
                field.checked = value === undefined ? field.defaultChecked : value === "1";
            } else {
                field.value = value ?? (field instanceof HTMLInputElement ? field.defaultValue : "");
            }
        }
        this.write();
        this.invent();
    }

    /** Take the options over from the fields. */
    private changed(): void {
        const state: State = this.state.n === undefined ? {} : { n: this.state.n };
        for (const field of this.fields()) {
            if (field instanceof HTMLInputElement && field.type === "checkbox") {
                if (field.checked !== field.defaultChecked) {
                    state[field.name] = field.checked ? "1" : "0";
                }
            } else if (field.value !== (field instanceof HTMLInputElement ? field.defaultValue : "")) {
                state[field.name] = field.value;
            }
        }
        state.seed ||= this.state.seed;
        this.state = state;
        this.write();
        this.invent();
        this.look();
    }

    private set(key: string, value: string): void {
        this.state[key] = value;
        if (key === "seed") {
            element<HTMLInputElement>("seed").value = value;
        }
        this.write();
        this.invent();
    }

    private write(): void {
        for (const slider of document.querySelectorAll<HTMLInputElement>("input[type=range]")) {
            element(`${slider.id}-value`).textContent = slider.value;
        }
        history.replaceState(null, "", `#${new URLSearchParams(this.state)}`);
    }

    private fields(): (HTMLInputElement | HTMLSelectElement)[] {
        return [
            ...element<HTMLFormElement>("options").querySelectorAll<HTMLInputElement | HTMLSelectElement>(
                "input, select",
            ),
        ];
    }

    private count(): number {
        const count = Number(this.state.n);
        return Number.isInteger(count) && count > 0 ? Math.min(MOST, count) : AT_FIRST;
    }

    private options(): Options {
        const state = this.state;
        const where = Object.fromEntries(
            Object.keys(this.about.conditions)
                .filter((name) => state[`where.${name}`])
                .map((name) => [name, state[`where.${name}`]]),
        );
        const avoid = (state.avoid ?? "")
            .split(",")
            .map((each) => each.trim())
            .filter(Boolean);
        return {
            seed: /^\d+$/.test(state.seed) ? BigInt(state.seed) : state.seed,
            prefix: state.prefix ?? "",
            suffix: state.suffix ?? "",
            where,
            temperature: Number(state.temperature ?? 1),
            minLength: Number(state.min || 1),
            maxLength: Number(state.max || this.about.maxLength),
            unique: state.unique !== "0",
            novel: state.novel === "1",
            avoid,
        };
    }

    /** Ask for the names; while an answer is on its way, only the newest options wait. */
    private async invent(): Promise<void> {
        this.wanted = true;
        if (this.running) {
            return;
        }
        this.running = true;
        const late = setTimeout(() => document.body.classList.add("waiting"), 150);
        try {
            while (this.wanted) {
                this.wanted = false;
                const asked = location.hash;
                const request = { kind: "invent", count: this.count(), options: this.options() } as const;
                this.showNames(await this.ask<Invented>(request));
                element("list").dataset.of = asked;
                await new Promise(requestAnimationFrame);
            }
        } catch (error) {
            this.showNames({ names: [], problem: String(error) });
        } finally {
            this.running = false;
            clearTimeout(late);
            document.body.classList.remove("waiting");
        }
    }

    private showNames({ names, problem }: Invented): void {
        this.names = names;
        const list = element("list");
        while (list.children.length > names.length) {
            list.lastChild?.remove();
        }
        while (list.children.length < names.length) {
            const button = created("button", { type: "button", dir: "auto" });
            button.onclick = () => this.choose(button.textContent ?? "");
            list.append(created("li", {}, button));
        }
        const chosen = element<HTMLInputElement>("name").value;
        let widest = 0;
        for (const [i, name] of names.entries()) {
            const button = list.children[i].firstChild as HTMLButtonElement;
            if (button.textContent !== name) {
                button.textContent = name;
            }
            button.toggleAttribute("aria-current", name === chosen);
            widest = Math.max(widest, name.length);
        }
        list.style.setProperty("--widest", `${Math.min(22, Math.max(8, 0.62 * widest + 2)).toFixed(1)}rem`);
        element("status").textContent =
            problem ?? `${names.length.toLocaleString("en")} names, seed ${this.state.seed}`;
        element<HTMLButtonElement>("more").disabled = problem !== undefined || this.count() >= MOST;
    }

    private choose(name: string): void {
        element<HTMLInputElement>("name").value = name;
        for (const each of element("list").querySelectorAll("button")) {
            each.toggleAttribute("aria-current", each.textContent === name);
        }
        this.look();
        element("closer").scrollIntoView({ block: "nearest" });
    }

    /** Show how the chosen name is drawn. */
    private async look(): Promise<void> {
        const name = element<HTMLInputElement>("name").value.trim();
        const steps = element("steps");
        const verdict = element("verdict");
        if (!name) {
            steps.replaceChildren();
            verdict.textContent = "";
            return;
        }
        try {
            const found = await this.ask<Drawn>({ kind: "look", name, options: this.options(), most: SHARES });
            if (name !== element<HTMLInputElement>("name").value.trim()) {
                return; // a newer one is on its way
            }
            verdict.textContent = `${oneIn(found.score)} is “${name}”.`;
            steps.replaceChildren(...found.steps.map((step) => table(step, this.about.ofWords)));
        } catch (error) {
            verdict.textContent = error instanceof Error ? error.message : String(error);
            steps.replaceChildren();
        }
    }

    private async copy(): Promise<void> {
        const text = this.names.join("\n");
        try {
            await navigator.clipboard.writeText(text);
        } catch {
            const area = created("textarea", { value: text }); // pages opened from a file may have no clipboard
            document.body.append(area);
            area.select();
            document.execCommand("copy");
            area.remove();
        }
        element("status").textContent = `${this.names.length.toLocaleString("en")} copied`;
    }

    private download(): void {
        const url = URL.createObjectURL(new Blob([`${this.names.join("\n")}\n`], { type: "text/plain" }));
        created("a", { href: url, download: `${document.title}-${this.state.seed}.txt` }).click();
        setTimeout(() => URL.revokeObjectURL(url), 10_000);
    }
}

function newSeed(): string {
    return String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);
}

function field(id: string, label: string, input: HTMLElement, ...others: Node[]): HTMLElement {
    Object.assign(input, { id, name: id });
    return created("p", { className: "field" }, created("label", { htmlFor: id }, label, ...others), input);
}

function text(id: string, label: string): HTMLElement {
    return field(
        id,
        label,
        created("input", { dir: "auto", autocomplete: "off", autocapitalize: "off", spellcheck: false }),
    );
}

function number(id: string, label: string, least: number, most: number, value: string): HTMLElement {
    return field(
        id,
        label,
        created("input", { type: "number", min: String(least), max: String(most), defaultValue: value }),
    );
}

function slider(id: string, label: string, min: string, max: string, step: string, value: string): HTMLElement {
    const shown = created("output", { id: `${id}-value`, htmlFor: id } as never);
    return field(id, label, created("input", { type: "range", min, max, step, defaultValue: value }), shown);
}

function check(id: string, label: string, value: boolean): HTMLElement {
    const input = created("input", { type: "checkbox", defaultChecked: value, id, name: id });
    return created("p", { className: "field check" }, input, created("label", { htmlFor: id }, label));
}

function choice(id: string, label: string, values: string[]): HTMLElement {
    const options = ["", ...values].map((value) => created("option", { value }, value || "any"));
    return field(id, label, created("select", {}, ...options));
}

function oneIn(score: number): string {
    const chance = Math.exp(score);
    if (chance >= 0.01) {
        return `${(100 * chance).toFixed(1)} % of all that it invents`;
    }
    const rarity = Math.exp(-score);
    return Number.isFinite(rarity)
        ? `One in ${Number(rarity.toPrecision(2)).toLocaleString("en")} that it invents`
        : "Next to none that it invents";
}

function table({ before, symbol, shares }: Drawn["steps"][number], ofWords: boolean): HTMLElement {
    const shown = (each: string) => (each === "" ? "end" : each === " " ? "space" : each);
    const rows = shares.map(([each, share]) => {
        const percent = `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
        const cell = created("td", {}, percent);
        cell.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
        return created(
            "tr",
            { className: each === symbol ? "chosen" : "" },
            created("th", { scope: "row", dir: "auto", title: shown(each) }, shown(each)),
            cell,
        );
    });
    const gap = before && ofWords ? " " : "";
    const chosen = created("b", {}, symbol === "" ? "." : symbol);
    return created(
        "table",
        {},
        created("caption", { dir: "auto" }, before + gap, chosen),
        created("tbody", {}, ...rows),
    );
}
