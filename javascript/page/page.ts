/** The page of a model: names that change with the options, how each is drawn, and the alphabet as a picture. */

import type { Options } from "../src/options.js";
import { checkBox, choice, created, element, numberField, slider, textField } from "./elements.js";
import type { About, Ask, Drawn, Invented, Packed } from "./engine.js";
import { labelsOf, told } from "./labels.js";
import { type Point, picture } from "./picture.js";
import { rarity, stepTable } from "./steps.js";

/** What `sequentia page` puts into the page beside the program. */
export interface Contents {
    files: Packed;
    /** Names in the list that the model learnt from. */
    learnt: number;
    /** Where the symbols lie in the picture of the alphabet; empty if the model has no embedding. */
    points: Point[];
}

type State = Record<string, string>;

const STEP = 40; // names at first, and more of them each time
const MOST = 1000;
const TEMPERATURES = { min: "0", max: "2", step: "0.05", defaultValue: "1" };
const SHARES = 8; // symbols that are shown of each step
const AT_ONCE = 80; // names that are shown within one frame
const PAUSE = 400; // milliseconds between changes of the address, of which browsers allow few

/** Show a model. */
export async function show(contents: Contents, ask: Ask): Promise<void> {
    const about = await ask<About>({ kind: "open", files: contents.files });
    await new Page(about, ask).start();
    element("about").textContent =
        `Invented by a model that learnt from ${count(contents.learnt)} ${about.ofWords ? "texts" : "names"}, ` +
        "and that runs in this page.";
    picture(contents.points, about.ofWords);
}

function count(value: number): string {
    return value.toLocaleString("en");
}

function frame(): Promise<unknown> {
    return new Promise(requestAnimationFrame);
}

class Page {
    private readonly labels = labelsOf(this.about.ofWords);
    private state: State = {};
    private names: string[] = [];
    private address = "";
    private pause = 0;
    private isWanted = false;
    private isRunning = false;
    private isChosen = false; // else the first name is looked at
    private notTaken: string[] = []; // what the address asked for in vain

    constructor(
        private readonly about: About,
        private readonly ask: Ask,
    ) {}

    /** Start the page, until its first names are shown. */
    async start(): Promise<void> {
        const { ofWords, fromRight } = this.about;
        if (ofWords) {
            element("names-title").textContent = "Texts";
            element("again").textContent = "Other texts";
        }
        for (const id of ["list", "name", "steps"]) {
            element(id).dir = fromRight ? "rtl" : "ltr";
        }
        for (const id of ["list", "steps"]) {
            element(id).classList.toggle("words", ofWords);
        }
        this.build();
        window.addEventListener("hashchange", () => this.read());
        document.addEventListener("input", ({ target }) => {
            if ((target as HTMLInputElement).form) {
                this.changed(target as HTMLElement);
            }
        });
        element("options").addEventListener("submit", (event) => event.preventDefault());
        element("again").onclick = () => this.set("seed", newSeed());
        element("more").onclick = () => this.set("n", String(Math.min(MOST, this.count() + STEP)));
        element("copy").onclick = () => this.copy();
        element("download").onclick = () => this.download();
        element("list").onclick = ({ target }) => this.choose((target as Element).closest("button"));
        element("list").onkeydown = (event) => this.move(event);
        element("name").oninput = () => {
            this.isChosen = true;
            this.mark();
            this.look();
        };
        await this.read();
    }

    /** Make a field for each option that this model has. */
    private build(): void {
        const { labels, about } = this;
        const { conditions, maxLength, knowsItsNames } = about;
        const dir = about.fromRight ? "rtl" : "ltr";
        element("fields").prepend(
            textField("prefix", labels.prefix, dir),
            textField("suffix", labels.suffix, dir),
            ...Object.entries(conditions).map(([name, values]) => choice(`where.${name}`, name, values)),
            slider("temperature", labels.temperature, TEMPERATURES, ["usual", "unusual"]),
        );
        element("further").append(
            numberField("min", labels.minLength, maxLength, 1),
            numberField("max", labels.maxLength, maxLength, maxLength),
            textField("avoid", `${labels.avoid} (commas between)`, dir),
            checkBox("unique", labels.unique, true),
            ...(knowsItsNames ? [checkBox("novel", labels.novel, false)] : []),
        );
    }

    /** Take the options over from the address. */
    private read(): Promise<void> {
        const given = [...new URLSearchParams(location.hash.slice(1))].filter(([, value]) => value);
        this.state = Object.fromEntries(given);
        this.notTaken = [];
        for (const [key, value] of Object.entries(this.state)) {
            const why = this.whyNot(key, value);
            if (why) {
                this.notTaken.push(`${key}=${value} (${why})`);
                delete this.state[key];
            }
        }
        this.state.seed ||= newSeed();
        for (const field of this.fields()) {
            const value = this.state[field.name];
            if (isBox(field)) {
                field.checked = value === undefined ? field.defaultChecked : value === "1";
            } else {
                field.value = value ?? unchanged(field);
            }
        }
        const further = element("further").querySelectorAll<HTMLInputElement>("input");
        const isGiven = [...further].some(({ name }) => name in this.state);
        element<HTMLDetailsElement>("details").open = isGiven || matchMedia("(min-width: 56rem)").matches;
        return this.update();
    }

    /** Return why the page does not take something from the address; nothing if it does. */
    private whyNot(key: string, value: string): string | undefined {
        switch (key) {
            case "n":
                return /^\d+$/.test(value) && Number(value) > 0 && Number(value) <= MOST
                    ? undefined
                    : `it must be a whole number from 1 to ${count(MOST)}`;
            case "min":
            case "max":
                return /^\d+$/.test(value) ? undefined : "it must be a whole number";
            case "temperature":
                return Number.isFinite(Number(value)) ? undefined : "it must be a number";
            case "unique":
            case "novel":
                return /^[01]$/.test(value) ? undefined : "it must be 0 or 1";
            case "pattern":
                return "only the Python library has patterns";
        }
        if (key.startsWith("where.") && !Object.hasOwn(this.about.conditions, key.slice(6))) {
            return "the model has no such condition";
        }
        return this.fields().some(({ name }) => name === key) ? undefined : "there is no such option";
    }

    /** Take the options over from the fields, of which one was changed. */
    private changed(changed: HTMLElement): void {
        const { n, seed, temperature } = this.state;
        this.state = n === undefined ? {} : { n };
        this.notTaken = [];
        for (const field of this.fields()) {
            const type: string = field.type;
            if (isBox(field)) {
                if (field.checked !== field.defaultChecked) {
                    this.state[field.name] = field.checked ? "1" : "0";
                }
            } else if (type === "range" && field !== changed) {
                // The address may say what the slider cannot.
                if (temperature !== undefined) {
                    this.state[field.name] = temperature;
                }
            } else if (field.value !== unchanged(field) && (field.value || type !== "number")) {
                this.state[field.name] = field.value;
            }
        }
        this.state.seed ||= seed;
        this.update();
    }

    private set(key: string, value: string): void {
        this.notTaken = [];
        this.state[key] = value;
        if (key === "seed") {
            element<HTMLInputElement>("seed").value = value;
        }
        this.update();
    }

    private update(): Promise<void> {
        const temperature = this.state.temperature ?? "1";
        element("temperature-value").textContent = temperature;
        element("temperature").setAttribute("aria-valuetext", temperature);
        element("printed").textContent = this.described();
        this.address = `#${new URLSearchParams(this.state)}`;
        this.write();
        delete element("list").dataset.of;
        return this.invent();
    }

    /** Write the options into the address, now or after a pause. */
    private write(): void {
        if (this.pause || location.hash === this.address) {
            return;
        }
        try {
            history.replaceState(null, "", this.address);
        } catch {
            return; // a page in a sandbox has no address
        }
        this.pause = window.setTimeout(() => {
            this.pause = 0;
            this.write();
        }, PAUSE);
    }

    private fields(): (HTMLInputElement | HTMLSelectElement)[] {
        const { elements } = element<HTMLFormElement>("options");
        return ([...elements] as (HTMLInputElement | HTMLSelectElement)[]).filter(({ name }) => name);
    }

    private count(): number {
        return Number(this.state.n ?? STEP);
    }

    /** Return the options in words, for paper. */
    private described(): string {
        const { min, max, ...others } = this.state;
        const all: State = { ...others, ...(min && { minLength: min }), ...(max && { maxLength: max }) };
        const parts = Object.entries(all).map(([key, value]) => {
            const label = this.labels[key] ?? key.replace(/^where\./, "");
            return `${label}: ${key === "unique" || key === "novel" ? ["no", "yes"][Number(value)] : value}`;
        });
        return parts.filter((part) => !part.startsWith("n: ")).join("; ");
    }

    private options(): Options {
        const { state, about } = this;
        const said = Object.keys(about.conditions).filter((name) => state[`where.${name}`]);
        const avoid = (state.avoid ?? "").split(",").map((each) => each.trim());
        return {
            seed: /^\d+$/.test(state.seed) ? BigInt(state.seed) : state.seed,
            prefix: state.prefix,
            suffix: state.suffix,
            where: Object.fromEntries(said.map((name) => [name, state[`where.${name}`]])),
            temperature: Number(state.temperature ?? 1),
            minLength: Number(state.min || 1),
            maxLength: state.max ? Number(state.max) : undefined,
            unique: state.unique !== "0",
            novel: state.novel === "1",
            avoid: avoid.filter(Boolean),
        };
    }

    /** Ask for the names; while an answer is on its way, only the newest options wait. */
    private async invent(): Promise<void> {
        this.isWanted = true;
        if (this.isRunning) {
            return;
        }
        this.isRunning = true;
        const late = setTimeout(() => element("list").setAttribute("aria-busy", "true"), 200);
        try {
            while (this.isWanted) {
                this.isWanted = false;
                const { address } = this;
                let found = await this.ask<Invented>({ kind: "invent", count: this.count(), options: this.options() });
                await this.showNames(found);
                while (found.more && !this.isWanted) {
                    found = await this.ask<Invented>({ kind: "continue" });
                    await this.showNames(found);
                }
                if (!this.isWanted) {
                    await this.look();
                    element("list").dataset.of = address;
                }
                await frame();
            }
        } catch (error) {
            this.say(String(error), true);
        } finally {
            this.isRunning = false;
            clearTimeout(late);
            element("list").removeAttribute("aria-busy");
        }
    }

    private async showNames({ names, problem, more }: Invented): Promise<void> {
        this.names = names;
        const list = element("list");
        while (list.children.length > names.length && !more) {
            list.lastChild?.remove();
        }
        const widest = names.reduce((most, name) => Math.max(most, name.length), 0);
        const width = 2 * Math.ceil(0.3 * widest + 0.75); // in steps: a change moves all names
        const columns = `repeat(auto-fill, minmax(min(${Math.min(40, Math.max(8, width))}rem, 100%), 1fr))`;
        if (list.style.gridTemplateColumns !== columns) {
            list.style.gridTemplateColumns = columns;
        }
        for (const [i, name] of names.entries()) {
            if (i && i % AT_ONCE === 0) {
                await frame();
                if (this.isWanted) {
                    return;
                }
            }
            const item = list.children[i] ?? list.appendChild(created("li", {}, created("button", { type: "button" })));
            const button = item.firstChild as HTMLButtonElement;
            if (button.textContent !== name) {
                button.textContent = name;
                button.ariaLabel = name.trim() ? null : "white space";
                button.dir = "auto";
            }
        }
        if (!this.isChosen) {
            element<HTMLInputElement>("name").value = names[0] ?? "";
        }
        this.mark();
        const things = this.about.ofWords ? "text" : "name";
        const found = `${count(names.length)} ${things}${names.length === 1 ? "" : "s"}`;
        const parts = problem === undefined || names.length ? [found] : [];
        const said = [...parts, ...(problem ? [told(problem, this.labels)] : [])].join("; ");
        const notTaken = this.notTaken.length ? `. Not taken from the address: ${this.notTaken.join(", ")}.` : "";
        this.say(said + notTaken, problem !== undefined || notTaken !== "");
        for (const id of ["copy", "download"]) {
            element<HTMLButtonElement>(id).disabled = !names.length;
        }
        const isLast = problem !== undefined || this.count() >= MOST;
        if (isLast && document.activeElement === element("more")) {
            const last = list.lastElementChild?.firstChild as HTMLElement | undefined;
            (last ?? element("name")).focus(); // a hidden button would lose the focus
        }
        element("more").hidden = isLast;
    }

    private say(text: string, isProblem = false): void {
        const status = element("status");
        status.classList.toggle("problem", isProblem);
        if (status.textContent !== text) {
            status.textContent = text;
        }
    }

    /** Mark the name that is looked at. */
    private mark(): void {
        const { value } = element<HTMLInputElement>("name");
        for (const button of element("list").querySelectorAll("button")) {
            if (button.textContent === value) {
                button.setAttribute("aria-current", "true");
            } else {
                button.removeAttribute("aria-current");
            }
        }
    }

    private choose(button: HTMLButtonElement | null): void {
        if (button) {
            element<HTMLInputElement>("name").value = button.textContent ?? "";
            this.isChosen = true;
            this.mark();
            this.look();
            element("closer").scrollIntoView({ block: "nearest" });
        }
    }

    /** Move the focus from name to name by the arrow keys. */
    private move(event: KeyboardEvent): void {
        const buttons = [...element("list").querySelectorAll("button")];
        const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
        const tops = [...element("list").children].map((item) => item.getBoundingClientRect().top);
        const columns = tops.filter((top) => top === tops[0]).length;
        const right = this.about.fromRight ? -1 : 1;
        const moves: Record<string, number> = {
            ArrowRight: at + right,
            ArrowLeft: at - right,
            ArrowDown: at + columns,
            ArrowUp: at - columns,
            Home: 0,
            End: buttons.length - 1,
        };
        const to = buttons[moves[event.key]];
        if (to) {
            event.preventDefault();
            to.focus();
        }
    }

    /** Show how the chosen name is drawn. */
    private async look(): Promise<void> {
        const read = () => element<HTMLInputElement>("name").value;
        const [name, steps, verdict] = [read(), element("steps"), element("verdict")];
        if (this.isChosen) {
            verdict.role = "status"; // to be read aloud, now that somebody asked
        }
        let parts: (Node | string)[] = [];
        let tables: Node[] = [];
        try {
            if (name) {
                const options = this.options();
                const found = await this.ask<Drawn>({ kind: "look", name, options, most: SHARES });
                if (name !== read()) {
                    return; // a newer one is on its way
                }
                const [first] = found.lacking;
                const score = `log-probability ${found.score.toFixed(2).replace("-", "−")}`;
                const unknown = first === undefined ? "" : ` The model does not know the word “${first}”.`;
                parts = [created("bdi", {}, name), `: ${rarity(found.score)} (${score}).${unknown}`];
                tables = found.steps.map((step) => stepTable(step, this.about.ofWords));
            }
        } catch (error) {
            parts = [told(error instanceof Error ? error.message : String(error), this.labels)];
        }
        verdict.replaceChildren(...parts);
        steps.replaceChildren(...tables);
    }

    private async copy(): Promise<void> {
        const text = this.names.join("\n");
        try {
            await navigator.clipboard.writeText(text);
        } catch {
            const area = created("textarea", { value: text }); // some pages in frames have no clipboard
            document.body.append(area);
            area.select();
            document.execCommand("copy");
            area.remove();
            element("copy").focus();
        }
        this.say(`${count(this.names.length)} copied`);
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

function isBox(field: HTMLElement): field is HTMLInputElement {
    return field instanceof HTMLInputElement && field.type === "checkbox";
}

function unchanged(field: HTMLInputElement | HTMLSelectElement): string {
    return field instanceof HTMLInputElement ? field.defaultValue : "";
}
