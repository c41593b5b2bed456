/** JSON with objects as maps: `JSON.parse` alone reorders keys such as "1990", and takes the last of repeated keys. */

/** A JSON value. */
import { fail } from "./errors.js";
export type Json = null | boolean | number | string | Json[] | Map<string, Json>;

const STRING = /"(?:[^"\\]|\\[\s\S])*(?:"(\s*:)?|\\?$)/g;

/**
 * Return a JSON text, in UTF-8, as a value.
 *
 * @throws Error if it is not JSON, or repeats a key.
 */
export function parseJson(data: Uint8Array): Json {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
    let keys = 0;
    // A mark before each key keeps the keys in order, and tells them from the places of lists.
    const marked = text.replace(STRING, (token, colon) => {
        keys += colon ? 1 : 0;
        return colon ? `"_${token.slice(1)}` : token;
    });
    const value = JSON.parse(marked, (key, each) => {
        keys -= key[0] === "_" ? 1 : 0;
        return each?.constructor === Object
            ? new Map(Object.entries(each).map(([name, x]) => [name.slice(1), x]))
            : each;
    });
    if (keys) {
        fail("a key is repeated");
    }
    return value;
}
