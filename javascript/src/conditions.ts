/** Conditions: what a name was said to be, such as its sex or its decade. */

import { grouped, isRecord, isText, mustBe, show, wrongOption } from "./errors.js";
import { nfc } from "./text.js";

/** The option `where`: a value for each condition that is said, a text or a whole number. */
export type Where = Readonly<Record<string, string | number>>;

/** The values of each condition of a model, by its name. */
export type Conditions = ReadonlyMap<string, readonly string[]>;

const LISTED = 30;

/** Return values for a message: the first ones, and how many more there are. */
function listed(values: readonly string[]): string {
    const more = values.length > LISTED ? ` and ${grouped(values.length - LISTED)} more` : "";
    return values.slice(0, LISTED).map(show).join(", ") + more;
}

/**
 * Return the option `where` as ids: that of each condition's value, 0 where it is not said.
 *
 * @throws {@link OptionError} if a condition or a value does not exist.
 */
export function saidBy(where: unknown, conditions: Conditions): number[] {
    const said = new Map([...conditions.keys()].map((name) => [name, 0]));
    const asked = where ?? {};
    if (!isRecord(asked)) {
        mustBe("where", where, "an object of values by condition");
    }
    for (const [key, value] of Object.entries(asked)) {
        const name = nfc(key);
        const values = conditions.get(name);
        if (values === undefined) {
            const known = conditions.size ? `its conditions are ${listed([...conditions.keys()])}` : "it has none";
            wrongOption("where", where, `where: the model has no condition ${show(key)}; ${known}`);
        }
        const text = isText(value) || Number.isInteger(value) ? nfc(String(value)) : undefined;
        const place = text === undefined ? -1 : values.indexOf(text);
        if (place < 0) {
            wrongOption("where", where, `where: ${name} must be one of ${listed(values)}, not ${show(value)}`);
        }
        said.set(name, place + 1);
    }
    return [...said.values()];
}
