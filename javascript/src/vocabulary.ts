/**
 * Symbols and their ids: how text is split into symbols, and how a name is made of them.
 *
 * The symbols are characters (Unicode code points of NFC text) or words. The symbol `symbols[i]` has the id `i + 1`.
 * Id 0 is the boundary, which marks the start and the end of a name.
 */

import { grouped, show, VocabularyError } from "./errors.js";
import { isForbidden, nfc, words } from "./text.js";

/** The id before the first symbol of a name and after its last. */
export const BOUNDARY = 0;
export const MAX_SYMBOLS = 65_535;

/** The last symbol of a vocabulary of words: it stands for every word that the vocabulary lacks. */
export const UNKNOWN = "\ufffd";

/** An ordered alphabet of characters, or a vocabulary of words, whose last one is the unknown word. */
export class Vocabulary {
    /** What one symbol is called in messages. */
    readonly unit: string;
    /** What stands between two symbols of a text. */
    readonly separator: string;
    /** The id that stands for symbols that the vocabulary lacks, which is never drawn; 0 if there is none. */
    readonly unknown: number;
    /**
     * Whether NFC might compose some of the symbols with each other; no symbol before U+0300 composes.
     *
     * @internal
     */
    readonly mayCompose: boolean;
    private readonly ids = new Map<string, number>();

    /**
     * @param symbols - distinct symbols in the order of their ids.
     * @param isOfWords - whether they are words in NFC, of which {@link UNKNOWN} is the last, or single code points.
     * @throws {@link VocabularyError} if these cannot be the symbols of a vocabulary.
     */
    constructor(
        readonly symbols: readonly string[],
        private readonly isOfWords: boolean,
    ) {
        this.unit = isOfWords ? "word" : "symbol";
        this.separator = isOfWords ? " " : "";
        this.unknown = isOfWords ? symbols.length : 0;
        this.mayCompose = !isOfWords && symbols.some((symbol) => symbol.codePointAt(0)! >= 0x300);
        symbols.forEach((symbol, position) => {
            const isUnknown = isOfWords && position > 0 && position + 1 === this.unknown;
            const [only, ...others] = this.split(symbol);
            const isRight = isUnknown ? symbol === UNKNOWN : only === symbol && !others.length;
            if (!isRight || (!isUnknown && (isForbidden(symbol) || (isOfWords && nfc(symbol) !== symbol)))) {
                const message = `symbol ${position} of the vocabulary is ${show(symbol)}, which is not allowed there`;
                throw new VocabularyError(message, { symbol, position });
            }
            if (this.ids.has(symbol)) {
                throw new VocabularyError(`the vocabulary contains ${show(symbol)} twice`, { symbol, position });
            }
            if (!isUnknown) {
                this.ids.set(symbol, position + 1);
            }
        });
    }

    /** Return the symbols of a text in NFC. */
    split(text: string): string[] {
        return this.isOfWords ? words(text) : [...text];
    }

    /**
     * Return the id of each symbol, or undefined for one that the vocabulary lacks.
     *
     * @internal
     */
    idsOf(symbols: readonly string[]): (number | undefined)[] {
        return symbols.map((symbol) => this.ids.get(symbol));
    }

    /** Return the symbols of a text that the vocabulary lacks, in their order. */
    lacking(text: string): string[] {
        return this.split(nfc(text)).filter((symbol) => !this.ids.has(symbol));
    }

    /**
     * Return the ids of a text's symbols, without boundaries.
     *
     * @param unknown - the id of symbols that the vocabulary lacks; 0 if there is none.
     * @throws {@link VocabularyError} naming the first symbol without an id and its position.
     */
    encode(text: string, unknown = 0): number[] {
        const normal = nfc(text);
        return this.split(normal).map((symbol, position) => {
            const id = this.ids.get(symbol) ?? unknown;
            if (!id) {
                throw new VocabularyError(this.message(normal, symbol, position), { symbol, position });
            }
            return id;
        });
    }

    /** Return the text of a name's first ids. */
    decode(ids: ArrayLike<number>, length = ids.length): string {
        let text = "";
        for (let i = 0; i < length; i++) {
            text += (i ? this.separator : "") + this.symbols[ids[i] - 1];
        }
        return text;
    }

    /** Return a one-line summary of the vocabulary for messages. */
    describe(): string {
        const { isOfWords, symbols } = this;
        const known = isOfWords ? symbols.slice(0, -1) : symbols;
        const first = known.slice(0, isOfWords ? 8 : 40);
        const more = known.length > first.length ? " …" : "";
        const shown = isOfWords ? first.join(", ") + (more && ",") : show(first.join(""));
        return `${grouped(known.length)} ${this.unit}s: ${shown}${more}`;
    }

    private message(text: string, symbol: string, position: number): string {
        const given = this.isOfWords ? symbol : text;
        const title = given.replace(/\p{Cased}+/gu, (run) => {
            const [first, ...rest] = run;
            return first.toUpperCase() + rest.join("").toLowerCase();
        });
        const cases = [given.toLowerCase(), given.toUpperCase(), title].map(nfc);
        const other = cases.find((each) => each !== given && !this.lacking(each).length);
        const what = this.isOfWords
            ? `word ${position + 1} of ${show(text)}, ${show(symbol)}, is not among those that the model knows`
            : other
              ? `the model's alphabet has no ${show(symbol)}`
              : `${show(text)} contains ${show(symbol)} at position ${position}, which is not in the vocabulary`;
        return what + (other ? `; try ${show(other)}` : ` (${this.describe()})`);
    }
}
