/** The embedding of a model's symbols as a picture. */

import { element } from "./elements.js";

/** A symbol and where it lies, from 0 to 1. Nothing stands for the end. */
export type Point = [symbol: string, x: number, y: number];

const SVG = "http://www.w3.org/2000/svg";
const WIDE = { width: 900, height: 400 };
const NARROW = { width: 380, height: 420 };
const MARGIN = 24;

function drawn(tag: string, attributes: Record<string, string | number>, text = ""): SVGElement {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) {
        made.setAttribute(name, String(value));
    }
    made.textContent = text;
    return made;
}

/** Draw the symbols, near each other where the model treats them alike; labels that would overlap are left out. */
export function picture(points: readonly Point[], ofWords: boolean): void {
    if (!points.length) {
        return;
    }
    const what = ofWords ? "words" : "symbols";
    const { width, height } = window.innerWidth < 600 ? NARROW : WIDE;
    const svg = drawn("svg", {
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label": `A map of the model's ${what}`,
    });
    const size = points.length > 100 ? 13 : 18;
    const taken: [number, number, number, number][] = [];
    for (const [symbol, across, down] of points) {
        const x = MARGIN + across * (width - 2 * MARGIN);
        const y = MARGIN + down * (height - 2 * MARGIN);
        const label = symbol || "end";
        const half = Math.max(size / 2, 0.32 * size * [...label].length);
        const box: [number, number, number, number] = [x - half, y - 0.4 * size, x + half, y + 0.4 * size];
        const isFree = !taken.some(([a, b, c, d]) => box[0] < c && box[2] > a && box[1] < d && box[3] > b);
        if (isFree) {
            taken.push(box);
            svg.append(drawn("text", { x, y, "font-size": size, class: symbol ? "" : "end" }, label));
        } else {
            svg.append(drawn("circle", { cx: x, cy: y, r: 2.5 }));
        }
    }
    element("map-title").textContent = `How the model sees its ${ofWords ? "words" : "alphabet"}`;
    element("map-text").textContent = `It treats ${what} alike that lie near each other.`;
    element("picture").replaceChildren(svg);
    element("map").hidden = false;
}
