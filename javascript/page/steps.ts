/** How a name is drawn, symbol by symbol. */

import { created } from "./elements.js";
import type { Step } from "./engine.js";

/** Return how probable a name is, in words. */
export function rarity(score: number): string {
    const chance = Math.exp(score);
    const one = Number(Math.exp(-score).toPrecision(2));
    const rare = one < 1e15 ? `one in ${one.toLocaleString("en")}` : "less than one in 10¹⁵";
    return `${chance >= 0.01 ? percent(chance) : rare} of all that the model invents`;
}

/** Return a table of the symbols that may follow, of which one is the next. */
export function stepTable({ before, symbol, shares }: Step, ofWords: boolean): HTMLElement {
    const rows = shares.map(([each, share]) => {
        const cell = created("td", {}, percent(share));
        cell.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
        const isDrawn = each === symbol;
        const drawn = isDrawn ? [created("span", { className: "unseen" }, ", drawn")] : [];
        const head = created("th", { scope: "row", title: each }, ...shown(each), ...drawn);
        return created("tr", { className: isDrawn ? "drawn" : "" }, head, cell);
    });
    const isVisible = symbol !== "" && symbol !== " ";
    // Only its colour tells the next symbol: in a bold face, letters of scripts such as Arabic would not be joined.
    const next = created("span", { className: "next" }, ...(isVisible ? [symbol] : shown(symbol)));
    const gap = before && (ofWords || !isVisible) ? " " : "";
    const caption = created(
        "caption",
        {},
        ending(before, ofWords ? 1 : isVisible ? 7 : 4, ofWords ? " " : "") + gap,
        next,
    );
    return created("table", {}, caption, created("tbody", {}, ...rows));
}

/** Return the last symbols of a text, for the whole may not fit above a table. */
function ending(text: string, most: number, separator: string): string {
    const parts = separator ? text.split(separator) : [...text];
    return parts.length > most ? `…${parts.slice(-most).join(separator)}` : text;
}

/** Return a symbol so that it can be seen. */
function shown(symbol: string): (Node | string)[] {
    if (symbol === "" || symbol === " ") {
        return [created("i", {}, symbol ? "space" : "end")];
    }
    return [/^\p{M}/u.test(symbol) ? `◌${symbol}` : symbol];
}

function percent(share: number): string {
    return share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;
}
