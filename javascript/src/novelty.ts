/** Hashes of the names of the list, so that `novel` can avoid these names without storing them. */

let table: Uint32Array | undefined;
const encoder = new TextEncoder();

/** Return the CRC-32 of the UTF-8 of a text (that of zlib and PNG). */
export function crc32(text: string): number {
    table ??= Uint32Array.from({ length: 256 }, (_, byte) => {
        let value = byte;
        for (let bit = 0; bit < 8; bit++) {
            value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
        }
        return value;
    });
    let crc = -1;
    for (const byte of encoder.encode(text)) {
        crc = (crc >>> 8) ^ table[(crc ^ byte) & 255];
    }
    return ~crc >>> 0;
}

/** A set of names, stored as hashes. */
export class KnownNames {
    private readonly hashes: Uint32Array;

    /**
     * @param data - the contents of `novelty.crc32`.
     * @throws Error if the data are not distinct 32-bit numbers in increasing order.
     */
    constructor(data: Uint8Array) {
        if (data.length % 4) {
            throw new Error(`${data.length} bytes, which is not a multiple of 4`);
        }
        const view = new DataView(data.buffer, data.byteOffset, data.length);
        this.hashes = Uint32Array.from({ length: data.length / 4 }, (_, i) => view.getUint32(4 * i, true));
        if (this.hashes.some((hash, i) => i && hash <= this.hashes[i - 1])) {
            throw new Error("numbers that are not in increasing order");
        }
    }

    /** Return whether a name in NFC is in the set; false positives are rare. */
    has(name: string): boolean {
        const hash = crc32(name);
        let low = 0;
        for (let high = this.hashes.length; low < high; ) {
            const middle = (low + high) >>> 1;
            if (this.hashes[middle] < hash) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return this.hashes[low] === hash;
    }
}
