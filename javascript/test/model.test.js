import assert from "node:assert/strict";
import { test } from "node:test";
import { generate, load, Model, OptionError, VocabularyError } from "sequentia";
import { files, folder } from "./data.js";

const names = await load();
const people = await load(folder("people"));
const words = await load(folder("words"));

test("the package brings the model names, and keeps it loaded", async () => {
    assert.deepEqual(await generate(3, { seed: 42 }), names.generate(3, { seed: 42 }));
    assert.deepEqual(Model.from(files("names")).generate(3, { seed: "x" }), names.generate(3, { seed: "x" }));
    assert.equal((await generate()).length, 1);
    assert.ok(names.knowsItsNames);
    assert.deepEqual(names.conditions, {});
    assert.deepEqual(people.conditions.sex, ["f", "m"]);
});

test("bytes may come in any kind of array", async () => {
    for (const name of ["names", "people", "words", "ngram-4"]) {
        const expected = (await load(folder(name))).generate(5, { seed: 1 });
        const given = Object.entries(files(name));
        const kinds = [
            (data) => Buffer.from(data), // its slices share its bytes
            (data) => new Uint8Array([0, ...data]).subarray(1),
            (data) => new Uint8Array(data).buffer,
        ];
        for (const kind of kinds) {
            const model = Model.from(Object.fromEntries(given.map(([file, data]) => [file, kind(data)])));
            assert.deepEqual(model.generate(5, { seed: 1 }), expected);
        }
    }
});

test("null stands for the default, and a loaded model for itself", async () => {
    const absent = Object.fromEntries(
        ["where", "prefix", "suffix", "minLength", "maxLength", "temperature", "topK", "topP"].map((key) => [
            key,
            null,
        ]),
    );
    const lists = { avoid: null, exclude: null, unique: null, novel: null };
    const expected = names.generate(5, { seed: 3 });
    assert.deepEqual(names.generate(5, { ...absent, ...lists, seed: 3 }), expected);
    assert.equal(names.generate(2, null).length, 2);
    assert.equal(typeof names.stream(null).next().value, "string");
    assert.deepEqual(names.nextSymbols("em", { where: null, topK: null }), names.nextSymbols("em"));
    assert.deepEqual(await generate(5, { model: null, seed: 3 }), expected);
    assert.deepEqual(await generate(5, { model: names, seed: 3 }), expected);
    assert.equal(await load(names), names);
});

test("a seed is a promise", () => {
    const all = names.generate(100, { seed: 7 });
    assert.deepEqual(names.generate(10, { seed: 7n }), all.slice(0, 10));
    assert.deepEqual(names.shard(30, 10, { seed: 7 }), all.slice(30, 40));
    const stream = names.stream({ seed: 7 });
    assert.deepEqual(
        all.map(() => stream.next().value),
        all,
    );
    assert.notDeepEqual(names.generate(5), names.generate(5));
});

test("streams with different options do not disturb each other", () => {
    const options = [{ seed: 1 }, { seed: 1, temperature: 0.5 }, { seed: 1, prefix: "ma", topK: 4 }];
    const streams = options.map((each) => names.stream(each));
    const found = Array.from({ length: 20 }, () => streams.map((stream) => stream.next().value));
    for (const [i, each] of options.entries()) {
        assert.deepEqual(
            found.map((row) => row[i]),
            names.generate(20, each),
        );
    }
});

test("the next symbols, and what a name scores", () => {
    const next = names.nextSymbols("emm");
    assert.equal([...next.keys()][0], "a");
    assert.equal(next.size, 27);
    assert.ok(Math.abs([...next.values()].reduce((a, b) => a + b) - 1) < 1e-12);
    const [first] = [..."emma", ""].reduce(
        ([sum, prefix], symbol) => [sum + Math.log(names.nextSymbols(prefix).get(symbol)), prefix + symbol],
        [0, ""],
    );
    assert.ok(Math.abs(names.score("emma") - first) < 1e-12);
    assert.deepEqual(names.score(["emma", "zzz"]), [names.score("emma"), names.score("zzz")]);
    assert.notEqual(people.score("mary", { where: { sex: "f" } }), people.score("mary", { where: { sex: "m" } }));
    const drawn = names.nextSymbols("", { temperature: 0.5, topK: 3 });
    assert.equal([...drawn.values()].filter(Boolean).length, 3);
    assert.equal(drawn.get(""), 0);
    assert.equal(names.nextSymbols("", { temperature: 1 }).get(""), 0);
    assert.deepEqual(words.unknownWords("the unknown of"), ["unknown"]);
    assert.ok(words.score("the unknown of") < 0);
});

const WRONG = [
    [{ temperature: -1 }, "temperature must be a finite number 0 or more, not -1"],
    [{ temperature: Number.NaN }, "temperature must be a finite number 0 or more, not NaN"],
    [{ temperature: "1" }, "temperature must be a finite number 0 or more, not '1'"],
    [{ topK: 0 }, "topK must be a whole number, 1 or more, not 0"],
    [{ topK: 1.5 }, "topK must be a whole number, 1 or more, not 1.5"],
    [{ topP: 1.5 }, "topP must be a finite number greater than 0 and at most 1, not 1.5"],
    [{ topP: 0 }, "topP must be a finite number greater than 0 and at most 1, not 0"],
    [{ minLength: 0 }, "minLength must be a whole number from 1 to 4096, not 0"],
    [{ maxLength: 5000 }, "maxLength must be a whole number from 1 to 4096, not 5000"],
    [{ minLength: 5, maxLength: 4 }, "minLength 5 is greater than maxLength 4"],
    [{ prefix: 1 }, "prefix must be a string, not 1"],
    [{ prefix: "abc", maxLength: 2 }, "prefix 'abc' has 3 symbols, more than maxLength 2"],
    [{ unique: 1 }, "unique must be true or false, not 1"],
    [{ exclude: "emma" }, "exclude must be a list of strings, even for a single one, not 'emma'"],
    [{ avoid: ["a", 1] }, "avoid[1] must be a string, not 1"],
    [{ avoid: [""] }, "avoid must not contain the empty string, which every name contains"],
    [{ seed: -1 }, "seed must be a whole number from 0 to 2**128 - 1, or a string, not -1"],
    [{ seed: 2n ** 128n }, /^seed must be a whole number/],
    [
        { seed: 2 ** 60 },
        "seed must be a whole number from 0 to 2**128 - 1 (write a bigint from 2**53 on), or a string, not " +
            "1152921504606847000",
    ],
    [{ topK: 3n }, "topK must be a whole number, 1 or more, not 3n"],
    [{ temperature: { a: 1, b: 2 } }, "temperature must be a finite number 0 or more, not {a,b}"],
    [{ seed: "\ud800" }, /^seed must be text without lone surrogates/],
    [{ where: { sex: "f" } }, "where: the model has no condition 'sex'; it has none"],
    [{ where: "f" }, /^where must be an object of values by condition/],
    [{ where: new Date(0) }, /^where must be an object of values by condition/],
    [{ where: new Map() }, "where must be an object of values by condition, not [object Map]"],
    [{ pattern: ".*a" }, /^pattern: only the Python library has patterns/],
    [
        { suffix: "a", avoid: ["a"] },
        /^no name of 1 to 15 symbols ends in 'a' and contains none of the strings to avoid/,
    ],
];

for (const [options, message] of WRONG) {
    test(`the error for ${Object.entries(options).map(([name, value]) => `${name}: ${String(value)}`)}`, () => {
        for (const draw of [() => names.generate(1, options), () => names.stream(options).next()]) {
            assert.throws(draw, { name: "OptionError", message });
        }
        assert.throws(() => names.generate(1, options), OptionError);
    });
}

test("other errors", async () => {
    assert.throws(() => names.generate(-1), { message: "n must be a whole number, 0 or more, not -1" });
    assert.throws(() => names.generate(1, { top_k: 1 }), {
        name: "TypeError",
        message: /^unknown option 'top_k'; the options are/,
    });
    for (const draw of [(n) => names.generate(n), (n) => names.shard(0, n)]) {
        assert.throws(
            () => draw(1e12),
            /^OptionError: (n|count) must be a whole number from 0 to 4294967295, not 1000000000000$/,
        );
    }
    assert.throws(() => names.shard(1e300, 1), /first must be a whole number from 0 to 9007199254740991, not 1e\+300/);
    assert.equal(names.shard(2 ** 52, 3, { seed: 1 }).length, 3); // as quick as at the start of the stream
    for (const [value, shown] of [
        ["a'b", '"a\'b"'],
        ['a"b', "'a\"b'"],
        ["a\n\\", "'a\\n\\\\'"],
        [["a", null], "['a', null]"],
    ]) {
        assert.throws(() => names.generate(1, { topK: value }), {
            message: `topK must be a whole number, 1 or more, not ${shown}`,
        });
    }
    assert.throws(() => names.shard(0, 1, { unique: true }), /unique is not available for shards/);
    assert.throws(() => names.generate(1, { prefix: "Emma" }), {
        name: "VocabularyError",
        message: "the model's alphabet has no 'E'; try 'emma'",
    });
    assert.throws(() => names.score("né"), VocabularyError);
    assert.throws(() => words.generate(1, { prefix: "THe" }), /word 1 of 'THe', 'THe', is not among .*; try 'the'/);
    assert.throws(() => people.generate(1, { where: { sex: "x" } }), {
        message: "where: sex must be one of 'f', 'm', not 'x'",
    });
    assert.throws(() => words.generate(1, { novel: true, exclude: ["THE"], seed: -1 }), OptionError);
    await assert.rejects(load(3), { name: "OptionError", message: /^model must be/ });
    for (const nowhere of ["no such model", "./nope", "../nope@x", "http://", "https:"]) {
        await assert.rejects(load(nowhere), { name: "ModelNotFoundError" });
    }
    assert.throws(() => names.unknownWords(["a"]), { name: "OptionError" });
    await assert.rejects(load("names", { cache: true }), TypeError);
    await assert.rejects(generate(1, { model: "nowhere here" }), { name: "ModelNotFoundError" });
});

test("what is no model, and what are no options", async () => {
    const expected = "a name, a URL, or files by name with config.json";
    for (const [source, shown] of [
        [5, "5"],
        [[], "[]"],
        [{}, "{}"],
        [new Map(), "[object Map]"],
        [{ "config.jsn": new Uint8Array(1) }, "{config.jsn}"],
    ]) {
        const error = { name: "OptionError", option: "model", message: `model must be ${expected}, not ${shown}` };
        await assert.rejects(load(source), error);
        await assert.rejects(generate(1, { model: source }), error);
        assert.throws(() => Model.from(source), error);
    }
    assert.throws(() => Model.from(null), { name: "OptionError", message: `model must be ${expected}, not null` });
    await assert.rejects(load({ ...files("names"), "config.json": "{}" }), {
        name: "OptionError",
        message: "config.json must be a Uint8Array or an ArrayBuffer, not a string",
    });
    for (const [options, shown] of [
        [5, "5"],
        ["x", "'x'"],
        [[], "[]"],
        [new Map(), "[object Map]"],
    ]) {
        const error = { name: "OptionError", message: `options must be an object, not ${shown}` };
        await assert.rejects(load("names", options), error);
        await assert.rejects(generate(1, options), error);
        assert.throws(() => names.generate(1, options), error);
        assert.throws(() => names.score("emma", options), error);
    }
    await assert.rejects(generate(1, { nope: 1 }), {
        name: "TypeError",
        message: /^unknown option 'nope'; .*, model$/,
    });
    assert.deepEqual((await load(null, null)).generate(3, { seed: 1 }), names.generate(3, { seed: 1 }));
    assert.throws(() => names.generate(3n), { message: "n must be a whole number, 0 or more, not 3n" });
    assert.throws(() => names.generate(null), { message: "n must be a whole number, 0 or more, not null" });
});

test("a prefix or a suffix may be longer than the most that maxLength can be, as in Python", () => {
    const long = "a".repeat(4097);
    assert.deepEqual(names.generate(1, { prefix: long, seed: 1 }), [long]);
    assert.throws(() => names.generate(1, { suffix: long, seed: 1 }), {
        name: "GenerationError",
        message: /^the options are met by none of the names tried/,
    });
    assert.throws(() => names.generate(1, { prefix: long, maxLength: 4097 }), /^OptionError: maxLength must be/);
});

test("what cannot be found gives an error with what was found", () => {
    const same = { temperature: 0, unique: true };
    assert.throws(
        () => names.generate(2, same),
        (error) => {
            assert.equal(error.name, "GenerationError");
            assert.equal(
                error.message,
                "gave up after 1 rejected candidate in a row; 2 in total, accepted: 1, rejected: unique 1; ask for fewer names or loosen the options (the 1 name found so far is in error.names)",
            );
            assert.deepEqual(error.names, names.generate(1, { temperature: 0 }));
            assert.deepEqual(error.rejected, { unique: 1 });
            return true;
        },
    );
    assert.throws(
        () => names.generate(1000, { maxLength: 1, unique: true }),
        /unique: 1000 different names were requested, but the constraints allow 26/,
    );
    assert.throws(() => names.generate(1, { suffix: "nn", temperature: 0 }), /the same name every time/);
    assert.throws(() => names.generate(1, { suffix: "qqqq", topK: 2 }), /none of the names tried/);
});
