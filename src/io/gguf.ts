// GGUF, the format of ggml's programs. In: a file, a URL or bytes: metadata, a list of tensors, data. Out: a WeightSource whose
// tensors may be quantized in blocks (gguf_blocks.ts). Shapes are turned round: ggml counts the fastest axis first.
import { WeightsError } from "../errors.ts";
import type { ByteSource } from "./byte_range.ts";
import type { OpenOptions } from "./byte_source.ts";
import { ByteCursor, parseGrowing, type Wrong } from "./byte_cursor.ts";
import { BLOCK_OF, isQuantType } from "./gguf_blocks.ts";
import { withSource } from "./opened.ts";
import { printable } from "./printable.ts";
import { type TableEntry, TensorTable } from "./tensor_table.ts";
import { bytesFor, type StoredDType, type WeightSource } from "./weights.ts";

/** "GGUF" as a number. */
const MAGIC = 0x46554747;
/** Many times what the largest vocabularies take. */
const LONGEST_HEADER = 32 * 2 ** 20;
const MOST_ENTRIES = 100_000;
const MOST_AXES = 4;
/** A list of the metadata is shown up to this many items; tokenizers keep their whole vocabulary there. */
const LISTED = 32;

/** The numbers of ggml's types that are known here. */
export const GGUF_TYPES: Readonly<Record<number, StoredDType>> = {
  0: "F32",
  1: "F16",
  2: "Q4_0",
  3: "Q4_1",
  6: "Q5_0",
  7: "Q5_1",
  8: "Q8_0",
  10: "Q2_K",
  11: "Q3_K",
  12: "Q4_K",
  13: "Q5_K",
  14: "Q6_K",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  28: "F64",
  30: "BF16",
};

interface Place {
  name: string;
  dtype: StoredDType;
  shape: number[];
  byteLength: number;
  /** Counted from the start of the data. */
  offset: number;
}

interface Header {
  metadata: Record<string, string>;
  tensors: Place[];
  alignment: number;
  length: number;
}

/**
 * Opens a GGUF file of version 2 or 3.
 *
 * @param from A path or URL, or opened bytes, which the result then owns and closes.
 * @throws {WeightsError} that names the file and what is wrong in it.
 * @example
 * ```ts
 * import { openGguf } from "./gguf.ts";
 * using weights = await openGguf("tests/golden/gguf/blocks.gguf");
 * console.assert(weights.info("q8_0").dtype === "Q8_0");
 * ```
 */
export function openGguf(from: string | URL | ByteSource, options: OpenOptions = {}): Promise<WeightSource> {
  return withSource(from, options, async (source) => {
    const wrong: Wrong = (state) => new WeightsError(`Cannot read ${source.name} as GGUF: ${state}`);
    const header = await parseGrowing(source, 0, LONGEST_HEADER, wrong, (bytes) => parseHeader(bytes, wrong));
    const dataStart = Math.ceil(header.length / header.alignment) * header.alignment;
    checkLayout(header, source.size - dataStart, wrong);
    const entries = new Map<string, TableEntry>();
    for (const { name, dtype, shape, byteLength, offset } of header.tensors) {
      const at = dataStart + offset;
      const read: TableEntry["read"] = (start, length, into) => source.read(at + start, length, into);
      entries.set(name, { dtype, shape, byteLength, read });
    }
    return new TensorTable(source.name, header.metadata, entries, () => source.close());
  });
}

function parseHeader(bytes: Uint8Array<ArrayBuffer>, wrong: Wrong): Header {
  const cursor = new ByteCursor(bytes);
  if (cursor.u32() !== MAGIC) throw wrong("it does not begin with GGUF");
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const isSwapped = version !== 0 && version % 0x1000000 === 0;
    throw wrong(isSwapped ? "its numbers are big-endian" : `its version is ${version}, and 2 and 3 are known`);
  }
  const tensorCount = cursor.u64();
  const entryCount = cursor.u64();
  if (tensorCount > MOST_ENTRIES || entryCount > MOST_ENTRIES) {
    throw wrong(
      `it would have ${tensorCount} tensors and ${entryCount} entries, more than the ${MOST_ENTRIES} allowed`,
    );
  }
  const metadata: Record<string, string> = Object.create(null);
  let alignment = 32;
  for (let i = 0; i < entryCount; i++) {
    const at = cursor.at;
    const key = text(cursor, 65535, wrong);
    if (key in metadata) throw wrong(`its entry "${printable(key)}", at ${at}, stands twice`);
    const type = cursor.u32();
    metadata[key] = new ValueReader(cursor, wrong).read(type, 0);
    if (key === "general.alignment") alignment = checkAlignment(type, Number(metadata[key]), wrong);
  }
  const tensors = new Map<string, Place>();
  for (let i = 0; i < tensorCount; i++) {
    const place = parseTensor(cursor, alignment, wrong);
    if (tensors.has(place.name)) throw wrong(`tensor "${printable(place.name)}" stands twice`);
    tensors.set(place.name, place);
  }
  return { metadata, tensors: [...tensors.values()], alignment, length: cursor.at };
}

function checkAlignment(type: number, alignment: number, wrong: Wrong): number {
  const isPower = alignment >= 1 && alignment <= 2 ** 20 && Number.isInteger(Math.log2(alignment));
  if (type !== 4 || !isPower) throw wrong(`its alignment ${alignment} is not a u32 that is a power of two`);
  return alignment;
}

function text(cursor: ByteCursor, longest: number, wrong: Wrong): string {
  const at = cursor.at;
  const length = cursor.u64();
  if (length > longest) throw wrong(`a string at ${at} would have ${length} bytes, and ${longest} are allowed`);
  return new TextDecoder().decode(cursor.take(length));
}

/** Bytes of the values that are numbers, by type. */
const NUMBER_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};

/** Values of the metadata as text. */
class ValueReader {
  constructor(private readonly cursor: ByteCursor, private readonly wrong: Wrong) {}

  read(type: number, depth: number): string {
    const { cursor } = this;
    if (type === 8) return text(cursor, LONGEST_HEADER, this.wrong);
    if (type === 9) return this.#list(depth);
    const number = this.#number(type);
    if (number === undefined) throw this.wrong(`a value at ${cursor.at} has the unknown type ${type}`);
    return String(number);
  }

  #number(type: number): number | boolean | bigint | undefined {
    const { cursor } = this;
    if (type === 0) return cursor.u8();
    if (type === 1) return (cursor.u8() << 24) >> 24;
    if (type === 2) return cursor.u16();
    if (type === 3) return (cursor.u16() << 16) >> 16;
    if (type === 4) return cursor.u32();
    if (type === 5) return cursor.i32();
    if (type === 6) return cursor.f32();
    if (type === 7) return cursor.u8() !== 0;
    if (type === 10) return cursor.u64();
    if (type === 11) return BigInt.asIntN(64, BigInt(cursor.u32()) | (BigInt(cursor.u32()) << 32n));
    if (type === 12) return cursor.f64();
    return undefined;
  }

  #list(depth: number): string {
    const { cursor } = this;
    if (depth > 3) throw this.wrong(`a list at ${cursor.at} lies in more than three others`);
    const type = cursor.u32();
    const count = cursor.u64();
    // The shortest item has a byte, so a count beyond the longest header is a lie, and the loop below is bounded.
    if (count > LONGEST_HEADER) throw this.wrong(`a list at ${cursor.at} would have ${count} items`);
    if (count > LISTED && type in NUMBER_BYTES) {
      cursor.skip(count * NUMBER_BYTES[type]);
      return `a list of ${count}`;
    }
    const items: string[] = [];
    for (let i = 0; i < count; i++) {
      if (type === 8 && i >= LISTED) cursor.skip(cursor.u64());
      else if (i < LISTED) items.push(this.read(type, depth + 1));
      else this.read(type, depth + 1);
    }
    return count > LISTED ? `a list of ${count}` : `[${items.join(", ")}]`;
  }
}

function parseTensor(cursor: ByteCursor, alignment: number, wrong: Wrong): Place {
  const at = cursor.at;
  const name = text(cursor, 1024, wrong);
  const tensor = `tensor "${printable(name)}", at ${at},`;
  const axes = cursor.u32();
  if (axes > MOST_AXES) throw wrong(`${tensor} has ${axes} axes, and ${MOST_AXES} are allowed`);
  const sizes = Array.from({ length: axes }, () => cursor.u64());
  const type = cursor.u32();
  const dtype = Object.hasOwn(GGUF_TYPES, type) ? GGUF_TYPES[type] : undefined;
  if (dtype === undefined) {
    throw wrong(`${tensor} has the type ${type}; known are ${Object.values(GGUF_TYPES).join(" ")}`);
  }
  if (isQuantType(dtype) && (axes === 0 || sizes[0] % BLOCK_OF[dtype].elements !== 0)) {
    throw wrong(`${tensor} has rows of ${sizes[0] ?? 1} elements, which are not whole blocks of ${dtype}`);
  }
  const count = sizes.includes(0) ? 0 : sizes.reduce((product, size) => product * size, 1);
  const byteLength = bytesFor(dtype, count);
  const shape = sizes.reverse();
  const offset = cursor.u64();
  if (!Number.isSafeInteger(byteLength) || !Number.isSafeInteger(offset)) {
    throw wrong(`${tensor} would be [${shape.join(", ")}] at ${offset}, which no file holds`);
  }
  if (offset % alignment !== 0) throw wrong(`${tensor} begins at ${offset}, not at a multiple of ${alignment}`);
  return { name, dtype, shape, byteLength, offset };
}

/** The tensors must stand one behind the other, with no more between them than the alignment needs. */
function checkLayout({ tensors, alignment }: Header, size: number, wrong: Wrong): void {
  let expected = 0;
  for (
    const { name, offset, byteLength } of tensors.toSorted((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)
  ) {
    const tensor = `tensor "${printable(name)}" has the bytes [${offset}, ${offset + byteLength}) of the data`;
    if (offset + byteLength > size) throw wrong(`${tensor}, and the file holds ${Math.max(0, size)}`);
    if (offset !== expected) throw wrong(`${tensor}, and should begin at ${expected}, behind the one before it`);
    expected = Math.ceil((offset + byteLength) / alignment) * alignment;
  }
}
