/** The random numbers of a seed: Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). */

import { sha256 } from "./sha256.js";

const HALF = 2 ** 32;
const ROUNDS = 10;
const KEY_STEPS = [0x7f4a7c15, 0x9e3779b9, 0x84caa73b, 0xbb67ae85];

/** Return the 128-bit key of a seed: the number itself, or the first 16 bytes of the SHA-256 of a string's UTF-8. */
export function keyOf(seed: bigint | string): bigint {
    if (typeof seed === "bigint") {
        return seed;
    }
    const { buffer, byteOffset } = sha256(new TextEncoder().encode(seed));
    const view = new DataView(buffer, byteOffset);
    return (view.getBigUint64(8, true) << 64n) + view.getBigUint64(0, true);
}

/** Return the upper half of the product of two numbers of 32 bits. */
function upper(x: number, y: number): number {
    const x0 = x & 0xffff;
    const y0 = y & 0xffff;
    const low = Math.imul(x >>> 16, y0) + (Math.imul(x0, y0) >>> 16);
    const high = Math.imul(x0, y >>> 16) + (low & 0xffff);
    return (Math.imul(x >>> 16, y >>> 16) + (low >>> 16) + (high >>> 16)) >>> 0;
}

/** Write the product of two numbers of 64 bits; the lower half of each comes first. */
function multiply(x0: number, x1: number, y0: number, y1: number, to: Uint32Array): void {
    const middle = upper(x0, y0) + (Math.imul(x0, y1) >>> 0) + (Math.imul(x1, y0) >>> 0);
    const high = upper(x0, y1) + upper(x1, y0) + (Math.imul(x1, y1) >>> 0) + Math.floor(middle / HALF);
    to[0] = Math.imul(x0, y0);
    to[1] = middle;
    to[2] = high;
    to[3] = upper(x1, y1) + high / HALF;
}

// Scratch.
const words = new Uint32Array(8);
const p = new Uint32Array(4);
const q = new Uint32Array(4);

/** Computes the uniform numbers of attempts at the names of a stream: in [0, 1), with 53 bits. */
export class Uniforms {
    private readonly keys: number[]; // of each round, four words of 32 bits
    private readonly numbers: number[] = [];
    private known = 0;
    private name = 0;
    private attempt = 0;

    /**
     * @param key - of the seed.
     * @param draws - numbers reserved for each name, a multiple of 4.
     */
    constructor(
        key: bigint,
        private readonly draws: number,
    ) {
        this.keys = [0n, 32n, 64n, 96n].map((bits) => Number((key >> bits) & 0xffffffffn));
        for (let i = 4; i < 4 * ROUNDS; i += 2) {
            const low = this.keys[i - 4] + KEY_STEPS[i % 4];
            this.keys[i] = low >>> 0;
            this.keys[i + 1] = (this.keys[i - 3] + KEY_STEPS[(i % 4) + 1] + low / HALF) >>> 0;
        }
    }

    /** Turn to an attempt at a name. */
    start(name: number, attempt: number): void {
        this.name = name;
        this.attempt = attempt;
        this.known = 0;
    }

    /** Return a number of the attempt; four at a time are computed as they are needed. */
    at(draw: number): number {
        for (; draw >= this.known; this.known += 4) {
            this.compute(this.draws / 4, this.known / 4 + 1, 0, this.known);
        }
        return this.numbers[draw];
    }

    /** Return the number that decides whether an attempt at a name is accepted. */
    acceptance(name: number, attempt: number): number {
        this.start(name, attempt);
        this.compute(1, 1, 1, 0);
        return this.numbers[0];
    }

    /** Compute the four numbers of the counter whose first word is `name * blocks + block`, and whose last is `last`. */
    private compute(blocks: number, block: number, last: number, place: number): void {
        const { name, numbers, keys } = this;
        const low = (name % HALF) * blocks + block;
        words.fill(0);
        words[0] = low;
        words[1] = Math.floor(name / HALF) * blocks + low / HALF;
        words[4] = this.attempt;
        words[6] = last;
        for (let key = 0; key < keys.length; key += 4) {
            multiply(words[0], words[1], 0xe14c6c93, 0xd2e7470e, p);
            multiply(words[4], words[5], 0x95121157, 0xca5a8263, q);
            words[0] = q[2] ^ words[2] ^ keys[key];
            words[1] = q[3] ^ words[3] ^ keys[key + 1];
            words[2] = q[0];
            words[3] = q[1];
            words[4] = p[2] ^ words[6] ^ keys[key + 2];
            words[5] = p[3] ^ words[7] ^ keys[key + 3];
            words[6] = p[0];
            words[7] = p[1];
        }
        for (let i = 0; i < 4; i++) {
            numbers[place + i] = words[2 * i + 1] * 2 ** -32 + (words[2 * i] >>> 11) * 2 ** -53;
        }
    }
}
