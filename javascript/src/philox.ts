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

/** Return the high half of the product of two unsigned 32-bit numbers, of which the second is given in 16-bit halves. */
function high(x: number, low: number, top: number): number {
    const a = x & 0xffff;
    const b = x >>> 16;
    const middle = b * low + ((a * low) >>> 16);
    const other = a * top + (middle & 0xffff);
    return (b * top + (middle >>> 16) + (other >>> 16)) | 0;
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
        let a0 = low | 0;
        let a1 = top | 0;
        let b0 = 0;
        let b1 = 0;
        let c0 = this.attempt | 0;
        let c1 = 0;
        let d0 = last;
        let d1 = 0;
        let [k0, k1, l0, l1] = this.key;
        for (let round = 0; round < 10; round++) {
            // p = D2E7470E E14C6C93 * a, q = CA5A8263 95121157 * c, each as four words
            const p0 = Math.imul(a0, 0xe14c6c93);
            const p00 = high(a0, 0x6c93, 0xe14c) >>> 0;
            const p01 = Math.imul(a0, 0xd2e7470e) >>> 0;
            const p10 = Math.imul(a1, 0xe14c6c93) >>> 0;
            const pMiddle = p00 + p01 + p10;
            const p1 = pMiddle | 0;
            const pCarry = (pMiddle / 4294967296) | 0;
            const pHigh =
                (high(a0, 0x470e, 0xd2e7) >>> 0) +
                (high(a1, 0x6c93, 0xe14c) >>> 0) +
                (Math.imul(a1, 0xd2e7470e) >>> 0) +
                pCarry;
            const p2 = pHigh | 0;
            const p3 = (high(a1, 0x470e, 0xd2e7) + ((pHigh / 4294967296) | 0)) | 0;

            const q0 = Math.imul(c0, 0x95121157);
            const q00 = high(c0, 0x1157, 0x9512) >>> 0;
            const q01 = Math.imul(c0, 0xca5a8263) >>> 0;
            const q10 = Math.imul(c1, 0x95121157) >>> 0;
            const qMiddle = q00 + q01 + q10;
            const q1 = qMiddle | 0;
            const qCarry = (qMiddle / 4294967296) | 0;
            const qHigh =
                (high(c0, 0x8263, 0xca5a) >>> 0) +
                (high(c1, 0x1157, 0x9512) >>> 0) +
                (Math.imul(c1, 0xca5a8263) >>> 0) +
                qCarry;
            const q2 = qHigh | 0;
            const q3 = (high(c1, 0x8263, 0xca5a) + ((qHigh / 4294967296) | 0)) | 0;

            a0 = q2 ^ b0 ^ k0;
            a1 = q3 ^ b1 ^ k1;
            b0 = q0;
            b1 = q1;
            c0 = p2 ^ d0 ^ l0;
            c1 = p3 ^ d1 ^ l1;
            d0 = p0;
            d1 = p1;

            const k = (k0 >>> 0) + 0x7f4a7c15;
            k1 = (k1 + 0x9e3779b9 + (k >= 4294967296 ? 1 : 0)) | 0;
            k0 = k | 0;
            const l = (l0 >>> 0) + 0x84caa73b;
            l1 = (l1 + 0xbb67ae85 + (l >= 4294967296 ? 1 : 0)) | 0;
            l0 = l | 0;
        }
        const { words } = this;
        words[0] = a0;
        words[1] = a1;
        words[2] = b0;
        words[3] = b1;
        words[4] = c0;
        words[5] = c1;
        words[6] = d0;
        words[7] = d1;
    }
}

/** Return the uniform number of a 64-bit word: its 53 highest bits. */
function uniform(words: Int32Array, word: number): number {
    return ((words[2 * word + 1] >>> 0) * 2 ** 21 + (words[2 * word] >>> 11)) * 2 ** -53;
}
