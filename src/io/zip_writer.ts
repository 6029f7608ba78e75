// Zip archives in memory. In: files by name. Out: the bytes of an archive, the same for the same files: it states no time.
import { deflateSync } from "npm:fflate@0.8.3";
import { UsageError } from "../errors.ts";
import { crc32 } from "./crc32.ts";

/** The first day that a zip archive can state, 1 January 1980. */
const DATE = 0x21;

/**
 * Puts files into a zip archive.
 *
 * @param files In the order in which they are written.
 * @param deflate Whether to compress them.
 * @param alignment Data of stored files starts at a multiple of this many bytes, as torch has it.
 * @throws {UsageError} when the archive would need more than 4 GB or 65535 files.
 * @example
 * ```ts
 * import { writeZip } from "./zip_writer.ts";
 * console.assert(writeZip([["a.txt", Uint8Array.of(65)]]).length === 109);
 * ```
 */
export function writeZip(
  files: readonly (readonly [name: string, bytes: Uint8Array])[],
  { deflate = false, alignment = 1 }: { deflate?: boolean; alignment?: number } = {},
): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = [];
  const records: Uint8Array[] = [];
  let size = 0;
  const add = (piece: Uint8Array) => {
    pieces.push(piece);
    size += piece.length;
  };
  for (const [name, bytes] of files) {
    const data = deflate ? deflateSync(bytes) : bytes;
    const encoded = new TextEncoder().encode(name);
    // Version, flags (bit 11: the name is UTF-8), method, time, date, checksum, sizes, length of the name.
    const common = new Uint8Array(24);
    const view = new DataView(common.buffer);
    [20, 0x800, deflate ? 8 : 0, 0, DATE].forEach((value, i) => view.setUint16(i * 2, value, true));
    [crc32(bytes), data.length, bytes.length].forEach((value, i) => view.setUint32(10 + i * 4, value, true));
    view.setUint16(22, encoded.length, true);
    records.push(words(0x02014b50, 4), u16(20), common, new Uint8Array(12), words(size, 4), encoded);
    const unpadded = size + 30 + encoded.length;
    // A field that pads has itself four bytes: an id that nobody reads, and its length.
    const padding = unpadded % alignment === 0 ? 0 : 4 + (alignment - ((unpadded + 4) % alignment)) % alignment;
    add(words(0x04034b50, 4));
    add(common);
    add(u16(padding));
    add(encoded);
    if (padding > 0) {
      add(Uint8Array.of(0x46, 0x42, (padding - 4) & 255, (padding - 4) >> 8, ...new Uint8Array(padding - 4)));
    }
    add(data);
  }
  const directory = size;
  records.forEach(add);
  const length = size - directory;
  add(words(0x06054b50, 4));
  [0, 0, files.length, files.length].forEach((value) => add(u16(value)));
  [length, directory].forEach((value) => add(words(value, 4)));
  add(u16(0));
  if (size > 0xfffffffe || files.length > 0xfffe) {
    throw new UsageError(`Cannot write ${files.length} files of ${size} bytes as one zip archive: it ends at 4 GB`);
  }
  const archive = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    archive.set(piece, at);
    at += piece.length;
  }
  return archive;
}

const u16 = (value: number) => Uint8Array.of(value & 255, value >> 8);

function words(value: number, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) & 255);
}
