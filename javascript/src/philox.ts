/** The random numbers of a seed: Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). */

import { sha256 } from "./sha256.js";

const WORD = 2n ** 64n - 1n;

/** Return the 128-bit key of a seed: the number itself, or the first 16 bytes of the SHA-256 of a string's UTF-8. */
export function keyOf(seed: bigint | string): bigint {
    if (typeof seed === "bigint") {
        return seed;
    }
    const { buffer, byteOffset } = sha256(new TextEncoder().encode(seed));
    const view = new DataView(buffer, byteOffset);
    return (view.getBigUint64(8, true) << 64n) + view.getBigUint64(0, true);
}

/** Return the uniform numbers, in [0, 1) with 53 bits, of the four words of a counter. */
function philox(key: bigint, counter: bigint, attempt: number, last: bigint): number[] {
    let [a, b, c, d] = [counter & WORD, counter >> 64n, BigInt(attempt), last];
    let [low, high] = [key & WORD, key >> 64n];
    for (let round = 0; round < 10; round++) {
        const p = 0xd2e7470ee14c6c93n * a;
        const q = 0xca5a826395121157n * c;
        a = (q >> 64n) ^ b ^ low;
        b = q & WORD;
        c = (p >> 64n) ^ d ^ high;
        d = p & WORD;
        low = (low + 0x9e3779b97f4a7c15n) & WORD;
        high = (high + 0xbb67ae8584caa73bn) & WORD;
    }
    return [a, b, c, d].map((word) => Number(word >> 11n) * 2 ** -53);
}

/** Computes the uniform numbers of attempts at the names of a stream. */
export class Uniforms {
    private numbers: number[] = [];
    private counter = 0n;
    private attempt = 0;

    /**
     * @param key - of the seed.
     * @param draws - numbers reserved for each name, a multiple of 4.
     */
    constructor(
        private readonly key: bigint,
        private readonly draws: number,
    ) {}

    /** Turn to an attempt at a name. */
    start(name: number, attempt: number): void {
        this.counter = BigInt(name) * BigInt(this.draws / 4);
        this.attempt = attempt;
        this.numbers = [];
    }

    /** Return a number of the attempt; four at a time are computed as they are needed. */
    at(draw: number): number {
        while (draw >= this.numbers.length) {
            this.numbers.push(...philox(this.key, ++this.counter, this.attempt, 0n));
        }
        return this.numbers[draw];
    }

    /** Return the number that decides whether an attempt at a name is accepted. */
    acceptance(name: number, attempt: number): number {
        return philox(this.key, BigInt(name) + 1n, attempt, 1n)[0];
    }
}
