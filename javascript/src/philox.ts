/**
 * The random numbers of a seed: Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 *
 * Words of 64 bits are pairs of 32-bit halves, the low one first: numbers of 64 bits are slow in JavaScript.
 */

import { sha256 } from "./sha256.js";

/** The 128-bit key of a seed, as four 32-bit words, the lowest first. */
export type Key = Int32Array;

/** Return the key of a seed: the number itself, or the first 16 bytes of the SHA-256 of a string's UTF-8. */
export function keyOf(seed: bigint | string): Key {
    if (typeof seed === "string") {
        const view = new DataView(sha256(new TextEncoder().encode(seed)).buffer);
        return Int32Array.from({ length: 4 }, (_, i) => view.getInt32(4 * i, true));
    }
    return Int32Array.from({ length: 4 }, (_, i) => Number(BigInt.asIntN(32, seed >> BigInt(32 * i))));
}

/** Return the high half of the product of two unsigned 32-bit numbers. */
function high(x: number, y: number): number {
    const [x0, x1, y0, y1] = [x & 0xffff, x >>> 16, y & 0xffff, y >>> 16];
    const middle = x1 * y0 + ((x0 * y0) >>> 16);
    const other = x0 * y1 + (middle & 0xffff);
    return x1 * y1 + (middle >>> 16) + (other >>> 16);
}

/** Write the product of two 64-bit numbers as four words. */
function multiply(x0: number, x1: number, y0: number, y1: number, to: Int32Array, at: number): void {
    const middle = high(x0, y0) + (Math.imul(x0, y1) >>> 0) + (Math.imul(x1, y0) >>> 0);
    const upper = high(x0, y1) + high(x1, y0) + (Math.imul(x1, y1) >>> 0) + Math.floor(middle / 2 ** 32);
    to[at] = Math.imul(x0, y0);
    to[at + 1] = middle;
    to[at + 2] = upper;
    to[at + 3] = high(x1, y1) + Math.floor(upper / 2 ** 32);
}

/** Computes the uniform numbers of attempts at the names of a stream. */
export class Uniforms {
    private readonly numbers: Float64Array;
    private readonly words = new Int32Array(8);
    private block = 0;
    private low = 0;
    private top = 0;
    private attempt = 0;
    private known = 0;

    /**
     * @param key - of the seed.
     * @param draws - numbers reserved for each name, a multiple of 4.
     */
    constructor(
        private readonly key: Key,
        private readonly draws: number,
    ) {
        this.numbers = new Float64Array(draws);
    }

    /** Turn to an attempt at a name. */
    start(name: number, attempt: number): void {
        // The counter is name * blocks + 1, in two halves that doubles hold exactly.
        const blocks = this.draws / 4;
        const low = (name % 2 ** 32) * blocks + 1;
        this.low = low % 2 ** 32;
        this.top = Math.floor(name / 2 ** 32) * blocks + Math.floor(low / 2 ** 32);
        this.attempt = attempt;
        this.block = this.known = 0;
    }

    /** Return a number of the attempt, in [0, 1) with 53 bits; blocks of four are computed as they are needed. */
    at(draw: number): number {
        while (draw >= this.known) {
            const low = this.low + this.block++;
            this.compute(low, this.top + (low >= 2 ** 32 ? 1 : 0), 0);
            for (let i = 0; i < 4; i++) {
                this.numbers[this.known++] = uniform(this.words, i);
            }
        }
        return this.numbers[draw];
    }

    /** Return the number that decides whether an attempt at a name is accepted. */
    acceptance(name: number, attempt: number): number {
        this.attempt = attempt;
        this.compute((name + 1) % 2 ** 32, Math.floor((name + 1) / 2 ** 32), 1);
        return uniform(this.words, 0);
    }

    /** Set the words to those of the counter whose words are low + 2^32 top, 0, the attempt and `last`. */
    private compute(low: number, top: number, last: number): void {
        const products = this.words;
        let [a0, a1, b0, b1, c0, c1, d0, d1] = [low | 0, top | 0, 0, 0, this.attempt, 0, last, 0];
        let [k0, k1, l0, l1] = this.key;
        for (let round = 0; round < 10; round++) {
            multiply(a0, a1, 0xe14c6c93, 0xd2e7470e, products, 0);
            multiply(c0, c1, 0x95121157, 0xca5a8263, products, 4);
            a0 = products[6] ^ b0 ^ k0;
            a1 = products[7] ^ b1 ^ k1;
            b0 = products[4];
            b1 = products[5];
            c0 = products[2] ^ d0 ^ l0;
            c1 = products[3] ^ d1 ^ l1;
            d0 = products[0];
            d1 = products[1];
            k1 = (k1 + 0x9e3779b9 + ((k0 >>> 0) + 0x7f4a7c15 >= 2 ** 32 ? 1 : 0)) | 0;
            k0 = (k0 + 0x7f4a7c15) | 0;
            l1 = (l1 + 0xbb67ae85 + ((l0 >>> 0) + 0x84caa73b >= 2 ** 32 ? 1 : 0)) | 0;
            l0 = (l0 + 0x84caa73b) | 0;
        }
        products.set([a0, a1, b0, b1, c0, c1, d0, d1]);
    }
}

/** Return the uniform number of a 64-bit word: its 53 highest bits. */
function uniform(words: Int32Array, word: number): number {
    return ((words[2 * word + 1] >>> 0) * 2 ** 21 + (words[2 * word] >>> 11)) * 2 ** -53;
}
