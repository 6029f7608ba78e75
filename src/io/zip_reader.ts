// Zip archives by range. In: a ByteSource. Out: its members by name, and their bytes by range, stored or deflated. All that
// the central directory claims is checked: members lie inside the file, before the directory, and do not overlap.
import type { ByteSource } from "./byte_range.ts";
import { ByteCursor, NeedsMore, type Wrong } from "./byte_cursor.ts";
import { InflateCursor } from "./inflate_cursor.ts";
import { printable } from "./printable.ts";
import type { ReadBytes } from "./tensor_table.ts";

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const LONGEST_DIRECTORY = 32 * 2 ** 20;
const MOST_MEMBERS = 100_000;
/** What inflates to more than this must not do so more than a hundredfold: weights never do, bombs do. */
const LARGEST_UNSUSPICIOUS = 64 * 2 ** 20;
const LARGEST_RATIO = 100;

/** A file of an archive, as the directory describes it. */
export interface ZipMember {
  name: string;
  /** Bytes once inflated, and as stored. */
  size: number;
  compressedSize: number;
  isDeflated: boolean;
  /** CRC-32 of the inflated bytes. */
  crc: number;
  headerOffset: number;
  /** Where the next member or the directory begins. */
  limit: number;
}

/** The members of an archive. */
export class ZipReader {
  private constructor(
    readonly source: ByteSource,
    readonly members: ReadonlyMap<string, ZipMember>,
    private readonly wrong: Wrong,
  ) {}

  /**
   * Reads the directory of an archive.
   *
   * @param wrong Makes the error when it is broken.
   * @throws {WeightsError} that says what is wrong, and where.
   */
  static async open(source: ByteSource, wrong: Wrong): Promise<ZipReader> {
    try {
      const { offset, length, count } = await findDirectory(source, wrong);
      const directory = new ByteCursor(await source.read(offset, length));
      const members = readDirectory(directory, offset, count, wrong);
      checkLayout([...members.values()], offset, wrong);
      return new ZipReader(source, members, wrong);
    } catch (error) {
      if (error instanceof NeedsMore) throw wrong("a record of its zip directory is cut off");
      throw error;
    }
  }

  /** Makes the reader of one member; its place is looked up at the first read. */
  reader(member: ZipMember): ReadBytes {
    let place: Promise<number> | undefined;
    const stored: ReadBytes = async (start, length, into) => {
      place ??= this.#dataStart(member);
      return await this.source.read(await place + start, length, into);
    };
    if (!member.isDeflated) return stored;
    const wrong = (state: string) => this.wrong(`member "${printable(member.name)}": ${state}`);
    const cursor = new InflateCursor(stored, member, wrong);
    return (start, length, into) => cursor.read(start, length, into);
  }

  async #dataStart(member: ZipMember): Promise<number> {
    const { headerOffset, compressedSize, limit } = member;
    const wrong = (state: string) => this.wrong(`member "${printable(member.name)}" at ${headerOffset}: ${state}`);
    const header = new ByteCursor(await this.source.read(headerOffset, 30));
    if (header.u32() !== LOCAL) throw wrong("no zip header is there");
    header.skip(4);
    const method = header.u16();
    if ((method === 8) !== member.isDeflated) throw wrong(`its own header states the compression ${method}`);
    header.skip(16);
    const nameLength = header.u16();
    const start = headerOffset + 30 + nameLength + header.u16();
    if (start + compressedSize > limit) {
      throw wrong(`its data would go on to ${start + compressedSize}, and the next record begins at ${limit}`);
    }
    const name = await this.source.read(headerOffset + 30, nameLength);
    if (nameOf(name) !== member.name) throw wrong(`its own header calls it "${printable(nameOf(name))}"`);
    return start;
  }
}

const nameOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

interface Directory {
  offset: number;
  length: number;
  count: number;
}

async function findDirectory(source: ByteSource, wrong: Wrong): Promise<Directory> {
  const tailStart = Math.max(0, source.size - (22 + 65535 + 20));
  const tail = await source.read(tailStart, source.size - tailStart);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let at = tail.length - 22;
  while (at >= 0 && !(view.getUint32(at, true) === END && view.getUint16(at + 20, true) === tail.length - at - 22)) {
    at--;
  }
  if (at < 0) throw wrong("it has no end record of a zip archive, so it may be cut off");
  const end = new ByteCursor(tail, at + 4);
  const disks = [end.u16(), end.u16()];
  const counts = [end.u16(), end.u16()];
  const plain: Directory = { count: counts[1], length: end.u32(), offset: end.u32() };
  const has64 = at >= 20 && view.getUint32(at - 20, true) === LOCATOR_64;
  if (!has64) {
    if (disks.some((disk) => disk !== 0) || counts[0] !== counts[1]) {
      throw wrong("its archive is split over several files");
    }
    return checkDirectory(plain, tailStart + at, wrong);
  }
  const locator = new ByteCursor(tail, at - 12);
  const recordAt = locator.u64();
  if (recordAt + 56 !== tailStart + at - 20) {
    throw wrong(`its zip64 end record would be at ${recordAt}, not right before ${tailStart + at - 20}`);
  }
  const record = new ByteCursor(await source.read(recordAt, 56));
  if (record.u32() !== END_64) throw wrong(`no zip64 end record is at ${recordAt}`);
  record.skip(28);
  const large: Directory = { count: record.u64(), length: record.u64(), offset: record.u64() };
  const agree = (small: number, all: number, value: number) => small === all || small === value;
  if (
    !agree(plain.count, 0xffff, large.count) || !agree(plain.length, 0xffffffff, large.length) ||
    !agree(plain.offset, 0xffffffff, large.offset)
  ) throw wrong("its two end records state different directories");
  return checkDirectory(large, recordAt, wrong);
}

function checkDirectory(directory: Directory, end: number, wrong: Wrong): Directory {
  const { offset, length, count } = directory;
  if (length > LONGEST_DIRECTORY || count > MOST_MEMBERS) {
    throw wrong(`its zip directory would have ${count} members in ${length} bytes, more than is allowed`);
  }
  if (offset + length !== end) {
    throw wrong(`its zip directory would be at [${offset}, ${offset + length}), not right before ${end}`);
  }
  return directory;
}

function readDirectory(records: ByteCursor, offset: number, count: number, wrong: Wrong): Map<string, ZipMember> {
  const members = new Map<string, ZipMember>();
  for (let i = 0; i < count; i++) {
    const where = `record ${i} of its zip directory, at ${offset + records.at},`;
    if (records.u32() !== CENTRAL) throw wrong(`${where} is none`);
    records.skip(4);
    const flags = records.u16();
    const method = records.u16();
    records.skip(4);
    const crc = records.u32();
    const member = { compressedSize: records.u32(), size: records.u32(), headerOffset: 0 };
    const [nameLength, extraLength, commentLength] = [records.u16(), records.u16(), records.u16()];
    records.skip(8);
    member.headerOffset = records.u32();
    const name = nameOf(records.take(nameLength));
    readLargeSizes(new ByteCursor(records.take(extraLength)), member);
    records.skip(commentLength);
    const { size, compressedSize } = member;
    const called = `${where} "${printable(name)}",`;
    if (flags & 1) throw wrong(`${called} is encrypted`);
    if (method !== 0 && method !== 8) {
      throw wrong(`${called} has the compression ${method}; stored and deflated are known`);
    }
    if (method === 0 && size !== compressedSize) {
      throw wrong(`${called} is stored as ${compressedSize} of ${size} bytes`);
    }
    if (method === 8 && size > LARGEST_UNSUSPICIOUS && size > LARGEST_RATIO * compressedSize) {
      throw wrong(`${called} would inflate from ${compressedSize} to ${size} bytes, which is a bomb`);
    }
    if (members.has(name)) throw wrong(`${called} has a name that stands twice`);
    members.set(name, { name, ...member, isDeflated: method === 8, crc, limit: 0 });
  }
  if (records.at !== records.bytes.length) throw wrong(`its zip directory has more than its ${count} records`);
  return members;
}

/** Sizes that do not fit into 32 bits stand in the extra field 1, in this order, each only where it is needed. */
function readLargeSizes(
  extra: ByteCursor,
  member: { size: number; compressedSize: number; headerOffset: number },
): void {
  while (extra.at + 4 <= extra.bytes.length) {
    const id = extra.u16();
    const field = new ByteCursor(extra.take(extra.u16()));
    if (id !== 1) continue;
    for (const key of ["size", "compressedSize", "headerOffset"] as const) {
      if (member[key] === 0xffffffff) member[key] = field.u64();
    }
  }
}

function checkLayout(members: ZipMember[], directory: number, wrong: Wrong): void {
  members.sort((a, b) => a.headerOffset - b.headerOffset);
  for (const [i, member] of members.entries()) {
    member.limit = members[i + 1]?.headerOffset ?? directory;
    const least = member.headerOffset + 30 + member.compressedSize;
    if (least <= member.limit) continue;
    const next = i + 1 < members.length ? `"${printable(members[i + 1].name)}" begins` : "the directory begins";
    throw wrong(
      `member "${
        printable(member.name)
      }" at ${member.headerOffset} has ${member.compressedSize} bytes, and ${next} at ` +
        `${member.limit}`,
    );
  }
}
