/** Checks of JSON values against a schema: each returns the value with its type, or throws an error that says where. */

import type { Json } from "./json.js";

/** Returns a value if it is as it should be; `path` says where in the document it stands. */
export type Check<T> = (value: Json, path: string) => T;

/** Throw the error for a value that is not as it should be. */
export function refuse(message: string, path: string): never {
    throw new Error(`${message} - at \`${path}\``);
}

function typeName(value: Json): string {
    if (value === null) {
        return "null";
    }
    if (typeof value === "number") {
        return Number.isInteger(value) ? "int" : "float";
    }
    if (typeof value === "object") {
        return Array.isArray(value) ? "array" : "object";
    }
    return typeof value === "string" ? "str" : "bool";
}

function wrong(expected: string, value: Json, path: string): never {
    refuse(`Expected \`${expected}\`, got \`${typeName(value)}\``, path);
}

/** A whole number between bounds, both included. */
export const int =
    (least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): Check<number> =>
    (value, path) => {
        if (typeof value !== "number" || !Number.isInteger(value)) {
            wrong("int", value, path);
        }
        if (value < least) {
            refuse(`Expected \`int\` >= ${least}`, path);
        }
        return value <= most ? value : refuse(`Expected \`int\` <= ${most}`, path);
    };

/** A number between bounds, both included. */
export const float =
    (least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): Check<number> =>
    (value, path) => {
        if (typeof value !== "number") {
            wrong("float", value, path);
        }
        return value >= least && value <= most ? value : refuse("Number out of bounds", path);
    };

/** A text of so many code points. */
export const text =
    (least = 0, most = Number.POSITIVE_INFINITY): Check<string> =>
    (value, path) => {
        if (typeof value !== "string") {
            wrong("str", value, path);
        }
        const length = value.length < least || value.length > most ? [...value].length : value.length;
        return length >= least && length <= most
            ? value
            : refuse(`Expected \`str\` of length >= ${least} and <= ${most}`, path);
    };

/** A text that a pattern matches. */
export const matching =
    (pattern: RegExp): Check<string> =>
    (value, path) =>
        typeof value === "string" && pattern.test(value)
            ? value
            : refuse(`Expected \`str\` matching regex '${pattern.source}'`, path);

/** One of some texts. */
export const oneOf =
    <T extends string>(...allowed: T[]): Check<T> =>
    (value, path) =>
        allowed.find((each) => each === value) ?? refuse(`Invalid enum value ${JSON.stringify(value)}`, path);

/** A list of so many items. */
export const list =
    <T>(item: Check<T>, least = 0, most = Number.POSITIVE_INFINITY): Check<T[]> =>
    (value, path) => {
        if (!Array.isArray(value)) {
            wrong("array", value, path);
        }
        if (value.length < least || value.length > most) {
            refuse(`Expected \`array\` of length >= ${least} and <= ${most}`, path);
        }
        return value.map((each, i) => item(each, `${path}[${i}]`));
    };

/** An object with any keys, as a map in the order of the document. */
export const dict =
    <T>(entry: Check<T>, most = Number.POSITIVE_INFINITY, key: Check<string> = text()): Check<Map<string, T>> =>
    (value, path) => {
        if (!(value instanceof Map)) {
            wrong("object", value, path);
        }
        if (value.size > most) {
            refuse(`Expected \`object\` of length <= ${most}`, path);
        }
        return new Map([...value].map(([name, each]) => [key(name, path), entry(each, `${path}[...]`)]));
    };

/** Null, or something else. */
export const nullable =
    <T>(check: Check<T>): Check<T | null> =>
    (value, path) =>
        value === null ? null : check(value, path);

/** What stands for a key that may be absent: its check, and the value that it has then. */
export const optional = <T>(check: Check<T>, absent: T): [Check<T>, T] => [check, absent];

type Fields<T> = { [K in keyof T]: Check<T[K]> | [Check<T[K]>, T[K]] };

/** An object with these keys and no others. */
export const record =
    <T>(fields: Fields<T>): Check<T> =>
    (value, path) => {
        if (!(value instanceof Map)) {
            wrong("object", value, path);
        }
        const known = Object.keys(fields) as (keyof T & string)[];
        for (const key of value.keys()) {
            if (!known.includes(key as keyof T & string)) {
                refuse(`Object contains unknown field \`${key}\``, path);
            }
        }
        const found: Partial<T> = {};
        for (const key of known) {
            const field = fields[key];
            const [check, absent] = Array.isArray(field) ? field : [field, undefined];
            const each = value.get(key);
            if (each !== undefined) {
                found[key] = check(each, `${path}.${key}`);
            } else if (Array.isArray(field)) {
                found[key] = absent as T[keyof T & string];
            } else {
                refuse(`Object missing required field \`${key}\``, path);
            }
        }
        return found as T;
    };
