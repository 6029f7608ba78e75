// The checksum of zip and PNG. In: bytes. Out: their CRC-32.

/** What a byte makes of a checksum when 0, 1, 2 or 3 further bytes of zeros follow it: four bytes are looked up at once. */
const TABLES: readonly Uint32Array[] = makeTables();

function makeTables(): Uint32Array[] {
  const tables = [Uint32Array.from({ length: 256 }, (_, byte) => {
    for (let i = 0; i < 8; i++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
    return byte;
  })];
  for (let i = 1; i < 4; i++) tables.push(tables[i - 1].map((crc) => tables[0][crc & 255] ^ (crc >>> 8)));
  return tables;
}

/**
 * The CRC-32 of bytes.
 *
 * @param before The CRC-32 of what came before them.
 * @example
 * ```ts
 * import { crc32 } from "./crc32.ts";
 * console.assert(crc32(new TextEncoder().encode("123456789")) === 0xcbf43926);
 * ```
 */
export function crc32(bytes: Uint8Array, before = 0): number {
  const [table0, table1, table2, table3] = TABLES;
  let crc = ~before;
  let i = 0;
  for (const whole = bytes.length & ~3; i < whole; i += 4) {
    crc ^= bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    crc = table3[crc & 255] ^ table2[(crc >>> 8) & 255] ^ table1[(crc >>> 16) & 255] ^ table0[crc >>> 24];
  }
  for (; i < bytes.length; i++) crc = table0[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}
