// A zip archive that is written as it comes, of any size. In: members one after another, stored as they are. Out: an archive in a file,
// the same for the same members: it states no time. Sizes and places beyond 32 bits are written as zip64 has them.

import { crc32 } from "./crc32.ts";
import type { OutputFile } from "./output_file.ts";

/** The first day that a zip archive can state, 1 January 1980. */
const DATE = 0x21;
const LARGEST_32 = 0xffffffff;
/** A signature nobody knows, of an extra field that pads. */
const PADDING_ID = 0x4246;

interface Member {
  name: Uint8Array;
  size: number;
  crc: number;
  offset: number;
}

/** Little-endian numbers one behind the other. */
function numbers(...fields: readonly (readonly [value: number, bytes: number])[]): Uint8Array {
  const out = new Uint8Array(fields.reduce((sum, [, bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [value, bytes] of fields) {
    for (let i = 0; i < bytes; i++) out[at++] = Math.floor(value / 256 ** i) & 255;
  }
  return out;
}

/** What a local header and a record of the directory have in common, from the version on. */
function common({ name, size, crc }: Member, extraLength: number): Uint8Array {
  const isLarge = size >= LARGEST_32;
  const stored = isLarge ? LARGEST_32 : size;
  return numbers(
    [isLarge ? 45 : 20, 2],
    [0x800, 2], // the name is UTF-8
    [0, 2], // stored
    [0, 2],
    [DATE, 2],
    [crc, 4],
    [stored, 4],
    [stored, 4],
    [name.length, 2],
    [extraLength, 2],
  );
}

/** Writes an archive. */
export class ZipStream {
  readonly #file: OutputFile;
  readonly #alignment: number;
  readonly #members: Member[] = [];

  /** @param alignment Data starts at a multiple of this many bytes; torch has 64. */
  constructor(file: OutputFile, alignment = 1) {
    this.#file = file;
    this.#alignment = alignment;
  }

  /**
   * Adds a member.
   *
   * @param size Its bytes, which `write` hands over piece by piece.
   */
  async add(
    name: string,
    size: number,
    write: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const file = this.#file;
    const member: Member = { name: new TextEncoder().encode(name), size, crc: 0, offset: file.size };
    const large = size >= LARGEST_32 ? numbers([1, 2], [16, 2], [size, 8], [size, 8]) : new Uint8Array();
    const unpadded = member.offset + 30 + member.name.length + large.length;
    // A field that pads has itself four bytes: its signature and its length.
    const gap = -(unpadded + 4) % this.#alignment;
    const rest = (gap + this.#alignment) % this.#alignment;
    const padding = unpadded % this.#alignment === 0
      ? new Uint8Array()
      : new Uint8Array([...numbers([PADDING_ID, 2], [rest, 2]), ...new Uint8Array(rest)]);
    await file.append(numbers([0x04034b50, 4]));
    const fields = file.size;
    await file.append(common(member, large.length + padding.length));
    await file.append(member.name);
    await file.append(large);
    await file.append(padding);
    await write(async (bytes) => {
      member.crc = crc32(bytes, member.crc);
      await file.append(bytes);
    });
    // The checksum stands before the data that it is of.
    await file.overwrite(fields, common(member, large.length + padding.length));
    this.#members.push(member);
  }

  /** Ends the archive with its directory. */
  async finish(): Promise<void> {
    const file = this.#file;
    const start = file.size;
    for (const member of this.#members) {
      const { name, size, offset } = member;
      const values = [size, size, offset];
      const large = size >= LARGEST_32 ? values : offset >= LARGEST_32 ? [offset] : [];
      const extra = large.length === 0
        ? new Uint8Array()
        : numbers([1, 2], [8 * large.length, 2], ...large.map((value) => [value, 8] as const));
      await file.append(numbers([0x02014b50, 4], [45, 2]));
      await file.append(common(member, extra.length));
      // No comment, the first disk, no attributes.
      await file.append(numbers([0, 2], [0, 2], [0, 2], [0, 4], [large.length > 0 ? LARGEST_32 : offset, 4]));
      await file.append(name);
      await file.append(extra);
    }
    const length = file.size - start;
    const count = this.#members.length;
    const record = file.size;
    const isLarge = record >= LARGEST_32 || count >= 0xffff;
    if (isLarge) {
      await file.append(numbers([0x06064b50, 4], [44, 8], [45, 2], [45, 2], [0, 4], [0, 4]));
      await file.append(numbers([count, 8], [count, 8], [length, 8], [start, 8]));
      await file.append(numbers([0x07064b50, 4], [0, 4], [record, 8], [1, 4]));
    }
    const least = (value: number, most: number) => isLarge ? most : value;
    await file.append(numbers([0x06054b50, 4], [0, 2], [0, 2], [least(count, 0xffff), 2], [least(count, 0xffff), 2]));
    await file.append(numbers([least(length, LARGEST_32), 4], [least(start, LARGEST_32), 4], [0, 2]));
  }
}
