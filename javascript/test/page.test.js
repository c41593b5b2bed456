/** The page says errors in the words of its own labels. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { load } from "sequentia";

const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../page/labels.ts", import.meta.url))],
    format: "esm",
    write: false,
});
const { labelsOf, told } = await import(`data:text/javascript,${encodeURIComponent(outputFiles[0].text)}`);
const model = await load();

const CASES = [
    [{ minLength: 6, maxLength: 5 }, "“Shortest” 6 is greater than “Longest” 5"],
    [{ minLength: 1.5 }, "“Shortest” must be a whole number from 1 to 4096, not 1.5"],
    [{ prefix: "prefix", minLength: 1, maxLength: 5 }, "“Starts with” 'prefix' has 6 symbols, more than “Longest” 5"],
    [{ seed: -1n }, "“Seed” must be a whole number from 0 to 2**128 - 1, or a string, not -1"],
    [
        { maxLength: 1, unique: true },
        "“Each name once”: 40 different names were requested, but the constraints allow 26; " +
            "ask for fewer names or loosen the options",
    ],
    [
        { suffix: "qqqq", temperature: 0.1 },
        "the options are met by none of the names tried: their probability is 0 or nearly so; " +
            "loosen them (a low temperature may leave no such name)",
    ],
    [
        { suffix: "a", avoid: ["a"] },
        "no name of 1 to 15 symbols ends in 'a' and contains none of the strings to avoid in the model's alphabet " +
            "(26 symbols: 'abcdefghijklmnopqrstuvwxyz')",
    ],
    [{ prefix: "novel 1" }, /^'novel 1' contains ' ' at position 5/],
    [{ suffix: "nn", temperature: 0 }, /^“Temperature” 0 gives the same name every time, and it is longer than 15 or/],
    [{ temperature: 0 }, "no others could be found with these options"],
    [
        { exclude: [model.generate(1, { temperature: 0 })[0]], temperature: 0 },
        /^none could be found with these options; /,
    ],
    [{ seed: 2n ** 128n }, /^“Seed” must be .*, not 340282366920938463463374607431768211456$/],
    [{ prefix: "E" }, "the model's alphabet has no 'E'; try 'e'"],
];

for (const [options, expected] of CASES) {
    test(`the page's error for ${Object.keys(options)}, ${expected}`, () => {
        assert.throws(
            () => model.generate(40, { unique: "temperature" in options && !("suffix" in options), ...options }),
            ({ message }) => {
                const said = told(message, labelsOf(false));
                typeof expected === "string" ? assert.equal(said, expected) : assert.match(said, expected);
                return true;
            },
        );
    });
}

test("a page of texts has other labels, and does not say `where`", () => {
    assert.equal(
        told("minLength 3 is greater than maxLength 2", labelsOf(true)),
        "“Fewest words” 3 is greater than “Most words” 2",
    );
    assert.equal(
        told("where: sex must be one of 'f', 'm', not 'x'", labelsOf(true)),
        "sex must be one of 'f', 'm', not 'x'",
    );
    assert.equal(
        told(
            "suffix and avoid would need an automaton of more than 9 states; avoid fewer or shorter strings",
            labelsOf(true),
        ),
        "“Ends with” and “Without” would need an automaton of more than 9 states; avoid fewer or shorter strings",
    );
});
