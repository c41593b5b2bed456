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

/** An ordered alphabet of characters. */
export class Vocabulary {
    /** What one symbol is called in messages. */
    readonly unit: string = "symbol";
    /** What stands between two symbols of a text. */
    readonly separator: string = "";
    /** The id that stands for symbols that the vocabulary lacks, which is never drawn; 0 if there is none. */
    readonly unknown: number = 0;
    /** Whether NFC might compose some of the symbols with each other; no symbol before U+0300 composes. */
    readonly mayCompose: boolean;
    private readonly ids = new Map<string, number>();

    /**
     * @param symbols - distinct single code points, in the order of their ids.
     * @throws {@link VocabularyError} if these cannot be the symbols of a vocabulary.
     */
    constructor(readonly symbols: readonly string[]) {
        this.mayCompose = symbols.some((symbol) => symbol.codePointAt(0)! >= 0x300);
        for (const [position, symbol] of this.known().entries()) {
            if (!this.isSymbol(symbol)) {
                const message = `symbol ${position} of the vocabulary is ${show(symbol)}, not ${this.expected()}`;
                throw new VocabularyError(message, { symbol, position });
            }
            if (this.ids.has(symbol)) {
                throw new VocabularyError(`the vocabulary contains ${show(symbol)} twice`, { symbol, position });
            }
            this.ids.set(symbol, position + 1);
        }
    }

    /** The number of ids: the symbols and the boundary. */
    get size(): number {
        return this.symbols.length + 1;
    }

    /** Return the symbols of a text in NFC. */
    split(text: string): string[] {
        return [...text];
    }

    /** Return the id of each symbol, or undefined for one that the vocabulary lacks. */
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
     * @param unknown - whether a symbol that the vocabulary lacks gets the id of the unknown word, if there is one.
     * @throws {@link VocabularyError} naming the first symbol without an id and its position.
     */
    encode(text: string, unknown = false): number[] {
        const normal = nfc(text);
        const symbols = this.split(normal);
        return symbols.map((symbol, position) => {
            const id = this.ids.get(symbol) ?? (unknown ? this.unknown : 0);
            if (!id) {
                throw new VocabularyError(this.message(normal, symbol, position), { symbol, position });
            }
            return id;
        });
    }

    /** Return the text of a name's ids. */
    decode(ids: ArrayLike<number>, length = ids.length): string {
        let text = "";
        for (let i = 0; i < length; i++) {
            text += (i ? this.separator : "") + this.symbols[ids[i] - 1];
        }
        return text;
    }

    /** Return the text in lower, upper or title case, the first that the vocabulary can spell, or undefined. */
    otherCase(text: string): string | undefined {
        const title = text.replace(/\p{Cased}+/gu, (run) => {
            const [first, ...rest] = run;
            return first.toUpperCase() + rest.join("").toLowerCase();
        });
        const cases = [text.toLowerCase(), text.toUpperCase(), title].map(nfc);
        return cases.find((each) => each !== text && this.lacking(each).length === 0);
    }

    /** Return a one-line summary of the alphabet for messages. */
    describe(most = 40): string {
        const { length } = this.symbols;
        return `${length} symbols: ${show(this.symbols.slice(0, most).join(""))}${length > most ? " …" : ""}`;
    }

    /** Return the symbols that stand for themselves. */
    protected known(): readonly string[] {
        return this.symbols;
    }

    protected expected(): string {
        return "one code point that is allowed in a name";
    }

    protected isSymbol(symbol: string): boolean {
        return [...symbol].length === 1 && !isForbidden(symbol);
    }

    protected message(text: string, symbol: string, position: number): string {
        const other = this.otherCase(text);
        return other === undefined
            ? `${show(text)} contains ${show(symbol)} at position ${position}, which is not in the vocabulary (${this.describe()})`
            : `the model's alphabet has no ${show(symbol)}; try ${show(other)}`;
    }
}

/** A vocabulary of words, which are split at white space and joined by single spaces; the last one is the unknown. */
export class WordVocabulary extends Vocabulary {
    override readonly unit = "word";
    override readonly separator = " ";
    override readonly mayCompose = false;
    override readonly unknown: number;

    constructor(symbols: readonly string[]) {
        super(symbols);
        if (symbols.length < 2 || symbols[symbols.length - 1] !== UNKNOWN) {
            const message = `a vocabulary of words has one word or more, and ends in the unknown one, ${show(UNKNOWN)}`;
            throw new VocabularyError(message);
        }
        this.unknown = symbols.length;
    }

    override split(text: string): string[] {
        return words(text);
    }

    override describe(most = 8): string {
        const known = this.known();
        const shown = known.slice(0, most).join(", ");
        return `${grouped(known.length)} words: ${shown}${known.length > most ? ", …" : ""}`;
    }

    protected override known(): readonly string[] {
        return this.symbols.slice(0, -1);
    }

    protected override expected(): string {
        return "a word in NFC, without white space and characters that are not allowed in a name";
    }

    protected override isSymbol(symbol: string): boolean {
        const [word, ...others] = words(symbol);
        return word === symbol && !others.length && nfc(symbol) === symbol && !isForbidden(symbol);
    }

    protected override message(text: string, symbol: string, position: number): string {
        const other = this.otherCase(symbol);
        const hint = other === undefined ? ` (${this.describe()})` : `; try ${show(other)}`;
        return `word ${position + 1} of ${show(text)}, ${show(symbol)}, is not among those that the model knows${hint}`;
    }
}
