/** Checks of JSON values against a schema: each returns the value with its type, or throws an error that says where. */

import { fail, isText } from "./errors.js";
import type { Json } from "./json.js";

/** Returns a value if it is as it should be; `path` says where in the document it stands. */
export type Check<T> = (value: Json, path: string) => T;

/** Throw the error for a value that is not as it should be. */
export function refuse(message: string, path: string): never {
    fail(`${message} - at \`${path}\``);
}

const check =
    <T extends Json>(expected: string, is: (value: Json) => unknown): Check<T> =>
    (value, path) =>
        is(value) ? (value as T) : refuse(`Expected ${expected}`, path);

const NO_BOUND = 2 ** 53;

const range = (least: number, most: number): string => (most < NO_BOUND ? `${least} to ${most}` : `${least} or more`);

/** A whole number between bounds, both included. */
export const int = (least: number, most = NO_BOUND): Check<number> =>
    check(
        `a whole number, ${range(least, most)}`,
        (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most,
    );

/** Something of so many parts; `parts` returns those of a value of the right kind. */
const sized = <T extends Json>(
    what: string,
    parts: (value: Json) => false | readonly unknown[],
    least = 0,
    most = NO_BOUND,
): Check<T> =>
    check(least || most < NO_BOUND ? `${what} of size ${range(least, most)}` : what, (value) => {
        const found = parts(value);
        return found && found.length >= least && found.length <= most;
    });

/** A text of so many code points. */
export const text = (least?: number, most?: number): Check<string> =>
    sized("a text", (value) => isText(value) && [...value], least, most);

/** One of some texts. */
export const oneOf = <T extends string>(...allowed: T[]): Check<T> =>
    check(`one of ${allowed.join(", ")}`, (value) => allowed.includes(value as T));

/** A list of so many items. */
export const list = <T>(item: Check<T>, least?: number, most?: number): Check<T[]> => {
    const whole = sized<Json[]>("a list", (value) => Array.isArray(value) && value, least, most);
    return (value, path) => whole(value, path).map((each, i) => item(each, `${path}[${i}]`));
};

/** An object with any keys, as a map in the order of the document. */
export const dict = <T>(entry: Check<T>, most?: number, key: Check<string> = text()): Check<Map<string, T>> => {
    const whole = sized<Map<string, Json>>("an object", (value) => value instanceof Map && [...value], 0, most);
    return (value, path) =>
        new Map([...whole(value, path)].map(([name, each]) => [key(name, path), entry(each, `${path}.${name}`)]));
};

/** Anything. */
export const any: Check<Json> = (value) => value;

/** Null, or something else. */
export const nullable =
    <T>(check: Check<T>): Check<T | null> =>
    (value, path) =>
        value === null ? value : check(value, path);

type Fields<T> = { [K in keyof T]: Check<T[K]> | [Check<T[K]>, T[K]] };

/** An object with these keys and no others; a key that may be absent has a check and the value that it has then. */
export const record =
    <T>(fields: Fields<T>): Check<T> =>
    (value, path) => {
        const given = dict(any)(value, path);
        const found: Partial<T> = {};
        for (const key in fields) {
            const field = fields[key];
            const [check, ...absent] = Array.isArray(field) ? field : [field];
            const each = given.get(key);
            given.delete(key);
            if (each === undefined && !absent.length) {
                refuse(`Object missing required field \`${key}\``, path);
            }
            found[key] = each === undefined ? absent[0]! : check(each, `${path}.${key}`);
        }
        for (const key of given.keys()) {
            refuse(`Object contains unknown field \`${key}\``, path);
        }
        return found as T;
    };
