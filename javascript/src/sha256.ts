/**
 * SHA-256 (FIPS 180-4).
 *
 * `crypto.subtle` would not do: pages that were opened as files, or over plain HTTP, do not have it.
 */

/** Return the first 32 fractional bits of a root. */
function fraction(root: number): number {
    return ((root % 1) * 2 ** 32) | 0;
}

function turned(x: number, bits: number): number {
    return (x >>> bits) | (x << (32 - bits));
}

/** Return the SHA-256 of some bytes, 32 bytes. */
export function sha256(data: Uint8Array): Uint8Array<ArrayBuffer> {
    const primes: number[] = [];
    for (let each = 2; primes.length < 64; each++) {
        if (primes.every((prime) => each % prime)) {
            primes.push(each);
        }
    }
    const round = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
    const state = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));

    const padded = new DataView(new ArrayBuffer((data.length + 72) & -64));
    new Uint8Array(padded.buffer).set(data);
    padded.setUint8(data.length, 0x80);
    padded.setBigUint64(padded.byteLength - 8, BigInt(data.length) << 3n);
    const words = new Int32Array(64);
    for (let start = 0; start < padded.byteLength; start += 64) {
        for (let i = 0; i < 16; i++) {
            words[i] = padded.getInt32(start + 4 * i);
        }
        compress(state, words, round);
    }
    state.forEach((word, i) => {
        padded.setInt32(4 * i, word);
    });
    return new Uint8Array(padded.buffer, 0, 32);
}

/** Change the state by a block of 16 words. */
function compress(state: Int32Array, words: Int32Array, round: Int32Array): void {
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
        if (i > 15) {
            const x = words[i - 15];
            const y = words[i - 2];
            const low = turned(x, 7) ^ turned(x, 18) ^ (x >>> 3);
            const high = turned(y, 17) ^ turned(y, 19) ^ (y >>> 10);
            words[i] = words[i - 16] + low + words[i - 7] + high;
        }
        const s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
        const t1 = h + s1 + ((e & f) ^ (~e & g)) + round[i] + words[i];
        const s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
        const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g; // one by one, because that is fast
        g = f;
        f = e;
        e = (d + t1) | 0;
        d = c;
        c = b;
        b = a;
        a = (t1 + t2) | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => {
        state[i] += word;
    });
}

/** Return the SHA-256 of some bytes in lower-case hexadecimal. */
export function sha256Hex(data: Uint8Array): string {
    return Array.from(sha256(data), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
