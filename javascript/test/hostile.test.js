/** Damaged and hostile files give an error of this library, and nothing else. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ArtifactError, load, Model, ModelNotFoundError, OptionError, SequentiaError } from "sequentia";
import { files, folder } from "./data.js";

const encoder = new TextEncoder();
const MODELS = ["bigram", "ngram-4", "ngram-where", "mlp-relu", "mlp-skip", "mlp-where", "gru-where", "words"];

/** Return files whose `config.json` has changes, and the right sizes and hashes. */
function changed(given, change) {
    const own = { ...given };
    const config = JSON.parse(new TextDecoder().decode(own["config.json"]));
    change?.(config, own);
    for (const name of Object.keys(config.files ?? {})) {
        if (own[name]) {
            const sha256 = createHash("sha256").update(own[name]).digest("hex");
            config.files[name] = { size: own[name].length, sha256 };
        }
    }
    own["config.json"] = encoder.encode(JSON.stringify(config));
    return own;
}

/** Return weights with another header; `edit` changes the parsed one, or returns the text of another. */
function withHeader(weights, edit) {
    const length = Number(new DataView(weights.buffer, weights.byteOffset).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(weights.subarray(8, 8 + length)));
    const text = encoder.encode(edit(header) ?? JSON.stringify(header));
    const whole = new Uint8Array(8 + text.length + weights.length - 8 - length);
    new DataView(whole.buffer).setBigUint64(0, BigInt(text.length), true);
    whole.set(text, 8);
    whole.set(weights.subarray(8 + length), 8 + text.length);
    return whole;
}

function refused(given, pattern = /expected .+, found .+/, what = "") {
    assert.throws(
        () => Model.from(given),
        (error) => {
            assert.ok(error instanceof ArtifactError, `${error}`);
            assert.match(error.message, pattern);
            return true;
        },
        String(what),
    );
}

/** Return whole numbers below a limit that are always the same. */
function random(seed) {
    let state = seed;
    return (limit) => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        return Math.floor((state / 2 ** 32) * limit);
    };
}

for (const name of MODELS) {
    const given = files(name);

    test(`${name}: any flipped bit of a file is found`, () => {
        const next = random(1);
        for (const file of ["model.safetensors", "novelty.crc32"]) {
            for (let i = 0; i < 40 && given[file]; i++) {
                const data = given[file].slice();
                data[next(data.length)] ^= 1 << next(8);
                refused({ ...given, [file]: data }, /sha256/);
            }
        }
    });

    test(`${name}: flipped bits of config.json, and of weights with the right hash, are found or harmless`, () => {
        const next = random(2);
        for (let i = 0; i < 400; i++) {
            const file = i % 2 ? "config.json" : "model.safetensors";
            const data = given[file].slice();
            const end = file === "config.json" ? data.length : Math.min(data.length, 700);
            data[next(end)] ^= 1 << next(8);
            const damaged = { ...given, [file]: data };
            try {
                Model.from(i % 2 ? damaged : changed(damaged)).shard(0, 2, { seed: 0 });
            } catch (error) {
                assert.ok(error instanceof SequentiaError, `${error.stack}`);
            }
        }
    });

    test(`${name}: truncated files are found`, () => {
        for (const file of ["config.json", "model.safetensors"]) {
            for (const length of [0, 1, 7, 8, 9, 100, given[file].length - 2]) {
                const data = given[file].slice(0, length);
                refused({ ...given, [file]: data });
                if (file !== "config.json") {
                    refused(changed({ ...given, [file]: data }));
                }
            }
        }
    });

    test(`${name}: headers that lie about the tensors`, () => {
        const edits = [
            (header) => `${JSON.stringify(header).slice(0, -1)},${JSON.stringify(Object.keys(header).at(-1))}:{}}`,
            ...[
                (entry) => (entry.dtype = "F32"),
                (entry) => (entry.dtype = "I64"),
                (entry) => (entry.dtype = "__proto__"),
                (entry) => entry.shape.push(1),
                (entry) => (entry.shape = [-1, -1]),
                (entry) => (entry.shape = [2 ** 53, 2 ** 53]),
                (entry) => (entry.shape[0] += 1),
                (entry) => (entry.data_offsets[1] += 1),
                (entry) => (entry.data_offsets[0] += 1),
                (entry) => (entry.data_offsets = [0, 2 ** 52]),
                (entry) => (entry.data_offsets = [0]),
                (entry) => (entry.data_offsets = ["0", "4"]),
                (entry) => (entry.more = 1),
                (entry) => delete entry.dtype,
            ].map((edit) => (header) => {
                edit(header[Object.keys(header).filter((key) => key !== "__metadata__")[0]]);
            }),
            (header) => {
                header.another = { dtype: "I8", shape: [1], data_offsets: [0, 1] };
            },
            (header) => {
                delete header[Object.keys(header).at(-1)];
            },
            () => "[]",
            () => "null",
            () => "",
            () => "[".repeat(100_000),
            () => '"\\'.repeat(200_000),
        ];
        for (const edit of edits) {
            const weights = withHeader(given["model.safetensors"], edit);
            refused(changed({ ...given, "model.safetensors": weights }));
        }
    });

    test(`${name}: configurations of other models`, () => {
        const edits = [
            (config) => (config.unknown = 1),
            (config) => (config.architecture.unknown = 1),
            (config) => (config.architecture.model = "transformer"),
            (config) => (config.architecture.model = "__proto__"),
            (config) => delete config.architecture,
            (config) => delete config.files["model.onnx"],
            (config) => delete config.training,
            (config) => (config.files["../x"] = { size: 1, sha256: "0".repeat(64) }),
            (config) => (config.files["novelty.crc32 "] = { size: 1, sha256: "0".repeat(64), more: 1 }),
            (config) => (config.format_version = 2.5),
            (config) => (config.format_version = "2"),
            (config) => (config.block_size = 0),
            (config) => (config.block_size = 1025),
            (config) => (config.max_length = 4097),
            (config) => config.vocabulary.push("q"),
            (config) => (config.vocabulary[0] = config.vocabulary[1]),
            (config) => (config.vocabulary[0] = ""),
            (config) => (config.vocabulary[0] = "\n"),
            (config) => (config.vocabulary[0] = "\ud800"),
            (config) => (config.vocabulary = []),
            (config) => (config.conditions = { a: ["b", "b"] }),
            (config) => (config.conditions = { a: [] }),
            (config) => (config.conditions = { "e\u0301": ["b"] }),
            (config) => (config.conditions = { more: ["b"] }),
            (config) => (config.symbols = config.symbols === "words" ? "characters" : "words"),
            (config) => (config.name = ""),
        ];
        for (const edit of edits) {
            refused(changed(given, edit), undefined, edit);
        }
        refused(
            changed(given, (config) => (config.format_version = 1)),
            /format_version 2, found 1: .*an earlier.*export it again/,
        );
        refused(
            changed(given, (config) => (config.format_version = 3)),
            /a later version of sequentia; install a newer/,
        );
        const text = new TextDecoder().decode(given["config.json"]);
        refused({ ...given, "config.json": encoder.encode(text.replace("{", '{"name": "twice",')) }, /repeated/);
        refused({ ...given, "config.json": encoder.encode(`\ufeff${text}`) });
        refused({ ...given, "config.json": new Uint8Array(2 ** 22 + 1) }, /at most 4194304 bytes/);
    });
}

test("numbers that are not exact, and tables that are left, are refused", () => {
    const mlp = files("mlp-relu");
    const large = (config) => {
        for (const layer of config.architecture.layers) {
            layer.largest = 65_535;
            layer.unit_bits = 0;
        }
        config.architecture.first_bits = 0;
        config.architecture.layers[0].position_bits = 23;
    };
    refused(changed(mlp, large), /can reach/);
    const ngram = files("ngram-4");
    const filled = (name, byte) =>
        changed(ngram, (_, own) => {
            const bytes = own["model.safetensors"].slice();
            const start = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
            const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
            own["model.safetensors"] = bytes.fill(byte, ...header[name].data_offsets.map((offset) => start + offset));
        });
    refused(filled("table.reached", 0x7f), /row|can reach/);
    for (const byte of [0, 0x7f, 0xff]) {
        refused(filled("table.gaps", byte), /gaps beyond a table/);
    }
    refused(
        changed(ngram, (config) => (config.architecture.tree.inner_states = config.architecture.tree.states + 1)),
        /inner_states \d+, more than/,
    );
    refused(
        changed(ngram, (config) => (config.architecture.order = 64)),
        /order 64, more than/,
    );
    refused(
        changed(files("gru"), (config) => (config.block_size = 257)),
        /block_size 257/,
    );
    refused(
        changed(files("bigram"), (config) => (config.conditions = { a: ["b"] })),
        /conditions/,
    );
});

test("a config.json that is no object is told so, and bounds are given where there are some", () => {
    const given = files("bigram");
    for (const text of ["[]", "null", "1", '"text"', "true"]) {
        refused({ ...given, "config.json": encoder.encode(text) }, /found Expected an object - at `\$`;/);
    }
    const messages = [
        [(config) => (config.files = []), /Expected an object - at `\$\.files`/],
        [(config) => (config.name = ""), /Expected a text of size 1 or more - at `\$\.name`/],
        [(config) => (config.name = 1), /Expected a text of size 1 or more/],
        [(config) => (config.conditions = { a: [] }), /Expected a list of size 1 to 4096 - at `\$\.conditions\.a`/],
        [(config) => (config.conditions = []), /Expected an object of size 0 to 16 - at/],
        [(config) => (config.block_size = 0), /Expected a whole number, 1 to 1024 - at/],
        [(config) => (config.architecture.parameters = -1), /Expected a whole number, 0 or more - at/],
    ];
    for (const [edit, message] of messages) {
        refused(changed(given, edit), message, edit);
    }
});

test("hashes out of order are refused", () => {
    const given = files("bigram");
    const reversed = given["novelty.crc32"].slice().reverse();
    refused(changed({ ...given, "novelty.crc32": reversed }), /increasing order/);
    refused(changed({ ...given, "novelty.crc32": reversed.slice(1) }), /increasing order/);
});

test("missing files", async () => {
    const { "model.safetensors": _, ...others } = files("bigram");
    refused(others, /missing/);
    assert.throws(() => Model.from({}), OptionError);
    await assert.rejects(load(`${folder("bigram")}/..`), ModelNotFoundError);
});
