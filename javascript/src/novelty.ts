/** Hashes of the names of the list, so that `novel` can avoid these names without storing them. */

/** Return the CRC-32 of the UTF-8 of a text (that of zlib and PNG), a bit at a time. */
import { fail } from "./errors.js";
export function crc32(text: string): number {
    let crc = -1;
    for (const byte of new TextEncoder().encode(text)) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) {
            crc = (crc >>> 1) ^ (crc & 1 && 0xedb88320);
        }
    }
    return ~crc >>> 0;
}

/**
 * Return the set of names, stored as hashes, in the contents of `novelty.crc32`.
 *
 * @throws Error if the data are not distinct 32-bit numbers in increasing order.
 */
export function knownNames(data: Uint8Array): Set<number> {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const hashes = new Set<number>();
    let last = -1;
    for (let i = 0; i < data.length; i += 4) {
        const hash = i + 4 > data.length ? -1 : view.getUint32(i, true);
        if (hash <= last) {
            fail("numbers that are not in increasing order");
        }
        hashes.add(hash);
        last = hash;
    }
    return hashes;
}
