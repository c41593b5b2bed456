/**
 * SHA-256 (FIPS 180-4).
 *
 * `crypto.subtle` would not do: pages that were opened as files, or over plain HTTP, do not have it.
 */

let constants: { round: Int32Array; initial: Int32Array } | undefined;

/** Return the fractional bits of the roots of the first primes, of which the constants consist. */
function tables(): { round: Int32Array; initial: Int32Array } {
    if (constants === undefined) {
        const round = new Int32Array(64);
        const initial = new Int32Array(8);
        for (let candidate = 2, found = 0; found < 64; candidate++) {
            let prime = true;
            for (let divisor = 2; divisor * divisor <= candidate; divisor++) {
                prime &&= candidate % divisor !== 0;
            }
            if (prime) {
                if (found < 8) {
                    initial[found] = fraction(Math.sqrt(candidate));
                }
                round[found++] = fraction(Math.cbrt(candidate));
            }
        }
        constants = { round, initial };
    }
    return constants;
}

function fraction(root: number): number {
    return ((root % 1) * 2 ** 32) | 0;
}

/** Return the SHA-256 of some bytes, 32 bytes. */
export function sha256(data: Uint8Array): Uint8Array {
    const { round, initial } = tables();
    const state = initial.slice();
    const words = new Int32Array(64);
    const whole = data.length - (data.length % 64);
    compress(state, words, round, new DataView(data.buffer, data.byteOffset, whole));
    const rest = data.length - whole;
    const last = new Uint8Array(rest < 56 ? 64 : 128);
    last.set(data.subarray(whole));
    last[rest] = 0x80;
    const view = new DataView(last.buffer);
    view.setUint32(last.length - 8, Math.floor(data.length / 2 ** 29));
    view.setUint32(last.length - 4, data.length << 3);
    compress(state, words, round, view);
    const digest = new DataView(new ArrayBuffer(32));
    state.forEach((word, i) => {
        digest.setInt32(4 * i, word);
    });
    return new Uint8Array(digest.buffer);
}

function compress(state: Int32Array, words: Int32Array, round: Int32Array, view: DataView): void {
    for (let start = 0; start < view.byteLength; start += 64) {
        for (let i = 0; i < 16; i++) {
            words[i] = view.getInt32(start + 4 * i);
        }
        for (let i = 16; i < 64; i++) {
            const a = words[i - 15];
            const b = words[i - 2];
            const low = ((a >>> 7) | (a << 25)) ^ ((a >>> 18) | (a << 14)) ^ (a >>> 3);
            const high = ((b >>> 17) | (b << 15)) ^ ((b >>> 19) | (b << 13)) ^ (b >>> 10);
            words[i] = (words[i - 16] + low + words[i - 7] + high) | 0;
        }
        let [a, b, c, d, e, f, g, h] = state;
        for (let i = 0; i < 64; i++) {
            const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
            const t1 = (h + s1 + ((e & f) ^ (~e & g)) + round[i] + words[i]) | 0;
            const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
            const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
            h = g;
            g = f;
            f = e;
            e = (d + t1) | 0;
            d = c;
            c = b;
            b = a;
            a = (t1 + t2) | 0;
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }
}

/** Return the SHA-256 of some bytes in lower-case hexadecimal. */
export function sha256Hex(data: Uint8Array): string {
    return Array.from(sha256(data), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
