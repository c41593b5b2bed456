/**
 * SHA-256 (FIPS 180-4).
 *
 * `crypto.subtle` would not do: pages that were opened as files, or over plain HTTP, do not have it.
 */

/** Return the first 32 fractional bits of a root. */
function fraction(root: number): number {
    return ((root % 1) * 2 ** 32) | 0;
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
    // The standard's a and e of each round, after those of the state; its b, c, d and f, g, h are those of earlier rounds.
    const state = (last: number): Int32Array =>
        Int32Array.from({ length: 68 }, (_, i) => fraction(Math.sqrt(primes[last - i]))); // more than 4 do not matter
    const [as, es] = [state(3), state(7)];

    const padded = new DataView(new ArrayBuffer((data.length + 72) & -64));
    new Uint8Array(padded.buffer).set(data);
    padded.setUint8(data.length, 0x80);
    padded.setBigUint64(padded.byteLength - 8, BigInt(data.length) << 3n);
    const turned = (x: number, bits: number): number => (x >>> bits) | (x << (32 - bits));
    const words = new Int32Array(64);
    const compress = (start: number): void => {
        for (let i = 0; i < 64; i++) {
            if (i < 16) {
                words[i] = padded.getInt32(start + 4 * i);
            } else {
                const x = words[i - 15];
                const y = words[i - 2];
                words[i] =
                    words[i - 16] +
                    (turned(x, 7) ^ turned(x, 18) ^ (x >>> 3)) +
                    words[i - 7] +
                    (turned(y, 17) ^ turned(y, 19) ^ (y >>> 10));
            }
            const a = as[i + 3];
            const b = as[i + 2];
            const e = es[i + 3];
            const g = es[i + 1];
            const sum =
                es[i] +
                (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) +
                (g ^ (e & (es[i + 2] ^ g))) +
                round[i] +
                words[i];
            es[i + 4] = as[i] + sum;
            as[i + 4] = sum + (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) | (as[i + 1] & (a | b)));
        }
        for (let i = 0; i < 4; i++) {
            as[i] += as[64 + i];
            es[i] += es[64 + i];
        }
    };
    for (let start = 0; start < padded.byteLength; start += 64) {
        compress(start); // a function of its own soon runs fast
    }
    for (let i = 0; i < 4; i++) {
        padded.setInt32(4 * i, as[3 - i]);
        padded.setInt32(16 + 4 * i, es[3 - i]);
    }
    return new Uint8Array(padded.buffer, 0, 32);
}

/** Return the SHA-256 of some bytes in lower-case hexadecimal. */
export function sha256Hex(data: Uint8Array): string {
    return Array.from(sha256(data), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
