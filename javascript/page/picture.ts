/** The embedding of a model's symbols as a picture. */

import { element } from "./elements.js";

/** A symbol and where it lies, from 0 to 1. Nothing stands for the end. */
export type Point = [symbol: string, x: number, y: number];

const SVG = "http://www.w3.org/2000/svg";
const WIDE = { width: 900, height: 400 };
const NARROW = { width: 380, height: 420 };
const MARGIN = 24;
// Places beside a symbol in sizes of a letter, the nearest first.
const AROUND = [1.1, 1.7, 2.4].flatMap((far) =>
    Array.from({ length: 16 }, (_, i) => [far * Math.cos((i * Math.PI) / 8), far * Math.sin((i * Math.PI) / 8)]),
);

type Box = [left: number, top: number, right: number, bottom: number];

function drawn(tag: string, attributes: Record<string, string | number>, text = ""): SVGElement {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) {
        made.setAttribute(name, String(value));
    }
    made.textContent = text;
    return made;
}

/** Draw the symbols, near each other where the model treats them alike; each has a label while there is room for it. */
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
    const taken: Box[] = [];
    const later: [string, number, number][] = [];

    /** Write a label if nothing else is there, and return whether it was written. */
    const isWritten = (symbol: string, x: number, y: number, size: number): boolean => {
        const label = symbol || "end";
        const half = Math.max(size / 2, 0.32 * size * [...label].length);
        const box: Box = [x - half, y - 0.4 * size, x + half, y + 0.4 * size];
        const isInside = box[0] >= 0 && box[1] >= 0 && box[2] <= width && box[3] <= height;
        const isFree = !taken.some(([a, b, c, d]) => box[0] < c && box[2] > a && box[1] < d && box[3] > b);
        if (!isFree || !(isInside || ofWords)) {
            return false;
        }
        taken.push(box);
        svg.append(drawn("text", { x, y, "font-size": size, class: symbol ? "" : "end" }, label));
        return true;
    };

    for (const [symbol, across, down] of points) {
        const x = MARGIN + across * (width - 2 * MARGIN);
        const y = MARGIN + down * (height - 2 * MARGIN);
        if (!isWritten(symbol, x, y, size) && !isWritten(symbol, x, y, 0.7 * size)) {
            later.push([symbol, x, y]);
        }
    }
    // Those that are in the way of others stand beside their places, with lines to them, or are dots.
    let dots = 0;
    for (const [symbol, x, y] of later) {
        svg.prepend(drawn("circle", { cx: x, cy: y, r: 2.5 }));
        const place = AROUND.map(([a, b]) => [x + a * size, y + b * size]).find(([a, b]) =>
            isWritten(symbol, a, b, 0.8 * size),
        );
        if (place) {
            svg.prepend(drawn("line", { x1: x, y1: y, x2: place[0], y2: place[1] }));
        } else {
            dots++;
        }
    }
    const without = dots ? ` The dots are ${what} without room for a label.` : "";
    element("map-title").textContent = `How the model sees its ${ofWords ? "words" : "alphabet"}`;
    element("map-text").textContent = `It treats ${what} alike that lie near each other.${without}`;
    element("picture").replaceChildren(svg);
    element("map").hidden = false;
}
