/**
 * Strict JSON, with objects as maps.
 *
 * `JSON.parse` would not do: it reorders keys such as "1990", and takes the last of repeated keys.
 */

import { isBroken } from "./text.js";

const DEEPEST = 32;
const SPACE = /[ \t\r\n]*/y;
const TOKEN = /[{}[\],:]|"(?:[^"\\\u0000-\u001f]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | Map<string, Json>;

/**
 * Return a JSON text, in UTF-8, as a value.
 *
 * @throws Error if it is not JSON, repeats a key, or is nested too deeply.
 */
export function parseJson(data: Uint8Array): Json {
    let text: string;
    try {
        text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    } catch {
        throw new Error("JSON is malformed: not UTF-8");
    }
    let place = 0;

    const next = (): string => {
        SPACE.lastIndex = place;
        SPACE.test(text);
        place = TOKEN.lastIndex = SPACE.lastIndex;
        const token = TOKEN.exec(text)?.[0] ?? "";
        place += token.length;
        return token;
    };
    const wrong = (token: string): Error =>
        new Error(place < text.length || token ? `JSON is malformed: byte ${place}` : "JSON ends too early");
    const string = (token: string): string => {
        let value: string;
        try {
            value = JSON.parse(token);
        } catch {
            throw wrong(token);
        }
        if (isBroken(value)) {
            throw wrong(token);
        }
        return value;
    };

    const value = (token: string, depth: number): Json => {
        if (depth > DEEPEST) {
            throw new Error("JSON is nested too deeply");
        }
        if (token === "[") {
            const items: Json[] = [];
            for (let token = next(); token !== "]"; ) {
                items.push(value(token, depth + 1));
                token = next();
                if (token === ",") {
                    token = next();
                    if (token === "]") {
                        throw wrong(token);
                    }
                } else if (token !== "]") {
                    throw wrong(token);
                }
            }
            return items;
        }
        if (token === "{") {
            return object(depth);
        }
        if (token[0] === '"') {
            return string(token);
        }
        if (token === "" || "{}[],:".includes(token)) {
            throw wrong(token);
        }
        const plain = JSON.parse(token);
        if (plain === Number.POSITIVE_INFINITY || plain === Number.NEGATIVE_INFINITY) {
            throw wrong(token);
        }
        return plain;
    };

    const object = (depth: number): Map<string, Json> => {
        const entries = new Map<string, Json>();
        for (let token = next(); token !== "}"; ) {
            if (token[0] !== '"') {
                throw wrong(token);
            }
            const key = string(token);
            if (entries.has(key)) {
                throw new Error(`JSON repeats the key \`${key}\``);
            }
            if (next() !== ":") {
                throw wrong("");
            }
            entries.set(key, value(next(), depth + 1));
            token = next();
            if (token === ",") {
                token = next();
                if (token === "}") {
                    throw wrong(token);
                }
            } else if (token !== "}") {
                throw wrong(token);
            }
        }
        return entries;
    };

    const result = value(next(), 0);
    if (next() || place < text.length) {
        throw wrong("");
    }
    return result;
}
