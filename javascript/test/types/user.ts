/**
 * Uses everything that the package offers, as a strict TypeScript project would, without the types of the DOM and of Node;
 * `test/types.test.js` checks its types.
 */

import {
    ArtifactError,
    type Config,
    type Files,
    GenerationError,
    generate,
    HubError,
    type HubOptions,
    load,
    Model,
    ModelNotFoundError,
    type ModelSource,
    OptionError,
    type Options,
    SequentiaError,
    type SymbolOptions,
    VocabularyError,
    type Where,
} from "sequentia";

const where: Where = { sex: "f", decade: 1990 };
const symbolOptions: SymbolOptions = { where, temperature: 0.8, topK: 10, topP: 0.95 };
const options: Options = {
    ...symbolOptions,
    prefix: "ma",
    suffix: "a",
    minLength: 3,
    maxLength: null,
    unique: true,
    novel: false,
    exclude: new Set(["maria"]),
    avoid: ["mm", "nn"],
    seed: 2n ** 100n,
};
const hub: HubOptions = { revision: "main", endpoint: "https://huggingface.co", token: undefined, signal: undefined };
const files: Files = { "config.json": new Uint8Array(), "model.safetensors": new ArrayBuffer(0) };
const sources: ModelSource[] = ["names", "owner/name@v1", "https://example.org/model/", files];

export async function use(): Promise<unknown[]> {
    const bundled: Model = await load();
    for (const source of sources) {
        await load(source, hub);
    }
    Model.from(files);
    const quick: string[] = await generate(3, { ...options, model: "owner/name" });
    quick.push(...(await generate(1, { model: bundled, prefix: null, temperature: null, unique: null })));

    const names: string[] = bundled.generate(10, options);
    const first: string = bundled.stream({ seed: "a text" }).next().value;
    for (const name of bundled.stream()) {
        quick.push(name.toUpperCase());
        break;
    }
    const shard: string[] = bundled.shard(1_000_000, 10, { seed: 42 });
    const one: number = bundled.score("maria", { where });
    const many: number[] = bundled.score([...names, ...shard, first], { where: null });
    const next: Map<string, number> = bundled.nextSymbols("mar", symbolOptions);
    const end: number | undefined = next.get("");
    const logits: Int32Array = bundled.logits([1, 2, 3], { where });
    const conditions: Record<string, string[]> = bundled.conditions;
    const config: Config = bundled.config;
    const isKnown: boolean = bundled.knowsItsNames;
    const unknown: string[] = bundled.unknownWords("maria");
    const symbols: readonly string[] = bundled.vocabulary.symbols;
    const ids: number[] = bundled.vocabulary.encode("maria");
    return [one, many, end, logits, conditions, config.name, isKnown, unknown, symbols, ids];
}

export function explain(error: unknown): string {
    if (error instanceof OptionError) {
        return `${error.option}: ${error.value}`;
    }
    if (error instanceof GenerationError) {
        return `${error.names.length} of ${error.candidates}, ${error.accepted} accepted, ${error.rejected.unique}`;
    }
    if (error instanceof VocabularyError) {
        return `${error.symbol} at ${error.position}`;
    }
    if (error instanceof ArtifactError) {
        return `${error.path}: ${error.expected}, not ${error.found}`;
    }
    if (error instanceof ModelNotFoundError) {
        return error.model;
    }
    if (error instanceof HubError) {
        return `${error.status ?? "no answer"}`;
    }
    return error instanceof SequentiaError ? error.message : "another error";
}

// What the types must refuse; if they took it, the comment would be an error.
export async function misuse(model: Model): Promise<void> {
    // @ts-expect-error: it is `topK`
    model.generate(1, { top_k: 3 });
    // @ts-expect-error: patterns are for Python
    model.generate(1, { pattern: ".*a" });
    // @ts-expect-error: a number, not a text
    model.generate("3");
    // @ts-expect-error: a list, even for a single one
    model.generate(1, { exclude: 3 });
    // @ts-expect-error: no condition is a list
    model.score("maria", { where: { sex: ["f"] } });
    // @ts-expect-error: models come from `load` or `Model.from`
    await load(42);
}
