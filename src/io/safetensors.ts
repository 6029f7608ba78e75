// The safetensors format. In: a file, a URL or bytes: u64 length of the header, header in JSON, data. Out: a WeightSource
// that reads one tensor, or a part of one, at a time. Everything the header claims is checked before it is used, since a
// checkpoint is a stranger's file. A path that ends in `.index.json` opens its shards (shards.ts).
import { WeightsError } from "../errors.ts";
import type { ByteSource } from "./byte_range.ts";
import type { OpenOptions } from "./byte_source.ts";
import { withSource } from "./opened.ts";
import { openShards } from "./shards.ts";
import { isRecord, parseStrictJson } from "./strict_json.ts";
import { type ReadBytes, type TableEntry, TensorTable } from "./tensor_table.ts";
import { BYTES_OF, describe, type TensorDType, type TensorInfo, type WeightSource } from "./weights.ts";

// The limit of the format's own library: a longer header is an attack, or not this format.
const LONGEST_HEADER = 100_000_000;

/** Where a tensor's bytes lie, counted from the end of the header. */
type Entry = TensorInfo & { begin: number };

/**
 * Opens a safetensors file, or the shards that an index lists.
 *
 * @param from A path or URL of a `.safetensors` file or of a `.safetensors.index.json`, or opened bytes, which the result
 * then owns and closes.
 * @throws {WeightsError} that names the file and what is wrong in it.
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { encodeSafetensors, openSafetensors } from "./safetensors.ts";
 * const file = encodeSafetensors({ w: { dtype: "F32", shape: [2, 1], data: Float32Array.of(1, 2.5) } });
 * using weights = await openSafetensors(bytesOf("example", file));
 * console.assert(weights.info("w").shape.join() === "2,1");
 * ```
 */
export async function openSafetensors(
  from: string | URL | ByteSource,
  options: OpenOptions = {},
): Promise<WeightSource> {
  const isAddress = typeof from === "string" || from instanceof URL;
  if (isAddress && /\.index(\.[^./]+)?\.json([?#].*)?$/.test(String(from))) {
    return openShards(from, options, (shard) => openSafetensors(shard, options));
  }
  return await withSource(from, options, readHeader);
}

async function readHeader(source: ByteSource): Promise<WeightSource> {
  const wrong = (state: string) => new WeightsError(`Cannot read ${source.name} as safetensors: ${state}`);
  if (source.size < 8) throw wrong(`it has ${source.size} bytes, and the length of its header takes 8`);
  const start = await source.read(0, 8);
  const length = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  if (length > LONGEST_HEADER) throw wrong(`its header would be ${length} bytes, and ${LONGEST_HEADER} are allowed`);
  if (length > source.size - 8) throw wrong(`its header would be ${length} bytes, and the file has ${source.size}`);
  let header: unknown;
  try {
    header = parseStrictJson(await source.read(8, length), 3);
  } catch (error) {
    if (error instanceof SyntaxError) throw wrong(`its header is not valid JSON: ${error.message}`);
    throw error;
  }
  if (!isRecord(header)) throw wrong("its header is not a JSON object");
  const metadata: Record<string, string> = Object.create(null);
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name !== "__metadata__") {
      entries.push(readEntry(name, value, wrong));
      continue;
    }
    if (!isRecord(value)) throw wrong("its __metadata__ is not an object of strings");
    for (const [key, text] of Object.entries(value)) {
      if (typeof text !== "string") throw wrong(`its __metadata__ "${key.slice(0, 120)}" is not a string`);
      metadata[key] = text;
    }
  }
  checkLayout(entries, source.size - 8 - length, wrong);
  const table = new Map(entries.map((entry) => [entry.name, tableEntry(source, 8 + length, entry)]));
  return new TensorTable(source.name, metadata, table, () => source.close());
}

function tableEntry(source: ByteSource, dataStart: number, { dtype, shape, byteLength, begin }: Entry): TableEntry {
  const read: ReadBytes = (start, length, into) => source.read(dataStart + begin + start, length, into);
  return { dtype, shape, byteLength, read };
}

type Wrong = (state: string) => WeightsError;

function readEntry(name: string, value: unknown, wrong: Wrong): Entry {
  const tensor = `tensor "${name.slice(0, 120)}"`;
  if (!isRecord(value)) throw wrong(`${tensor} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== "string" || !Object.hasOwn(BYTES_OF, dtype)) {
    const given = JSON.stringify(dtype)?.slice(0, 40);
    throw wrong(`${tensor} has the dtype ${given}, known are ${Object.keys(BYTES_OF).join(" ")}`);
  }
  const isSize = (size: unknown): size is number => Number.isSafeInteger(size) && (size as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    throw wrong(`${tensor} has the shape ${JSON.stringify(shape)?.slice(0, 80)}, not a list of whole numbers`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw wrong(`${tensor} has the offsets ${JSON.stringify(offsets)?.slice(0, 80)}, not two whole numbers`);
  }
  const [begin, end] = offsets;
  if (begin > end) throw wrong(`${tensor} begins at ${begin} and ends before, at ${end}`);
  const known = dtype as TensorDType;
  // Zero anywhere makes the tensor empty; else the product must stay a whole number that a double holds.
  const count = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);
  const byteLength = end - begin;
  const entry = { name, dtype: known, shape, byteLength, begin };
  if (count * BYTES_OF[known] !== byteLength) {
    const offsetsOf = `its offsets [${begin}, ${end}) hold ${byteLength} bytes`;
    throw wrong(`tensor ${describe(entry).slice(0, 300)} needs ${count * BYTES_OF[known]} bytes, and ${offsetsOf}`);
  }
  return entry;
}

/** The tensors must fill the data without a gap, an overlap or a rest, as the format demands. */
function checkLayout(entries: Entry[], size: number, wrong: Wrong): void {
  const inOrder = entries.toSorted((a, b) => a.begin - b.begin || a.byteLength - b.byteLength);
  let at = 0;
  for (const entry of inOrder) {
    const { begin, byteLength } = entry;
    const offsets = `tensor "${entry.name.slice(0, 120)}" has the offsets [${begin}, ${begin + byteLength})`;
    if (begin + byteLength > size) throw wrong(`${offsets}, and the file holds ${size} bytes of data`);
    if (begin < at) throw wrong(`${offsets}, and another tensor's bytes go on to ${at}`);
    if (begin > at) throw wrong(`${offsets}, and no tensor holds the bytes from ${at} on`);
    at += byteLength;
  }
  if (at !== size) throw wrong(`its tensors end at ${at}, and the file holds ${size} bytes of data`);
}

/** A tensor to be written. */
export interface TensorData {
  dtype: TensorDType;
  shape: readonly number[];
  /** Its elements as they are to be stored: of F16 and BF16 the bit patterns. */
  data: ArrayBufferView;
}

/**
 * Encodes tensors as a safetensors file. The same tensors always give the same bytes: names are sorted, and wider dtypes
 * come first so that each tensor starts at a multiple of its element's size.
 *
 * @param metadata What the file says of itself.
 * @throws {WeightsError} when a shape and its data do not fit.
 */
export function encodeSafetensors(
  tensors: Record<string, TensorData> | Map<string, TensorData>,
  metadata: Record<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const entries = [...(tensors instanceof Map ? tensors : Object.entries(tensors))];
  const order = (a: string, b: string) => a < b ? -1 : a > b ? 1 : 0;
  entries.sort(([a, left], [b, right]) => BYTES_OF[right.dtype] - BYTES_OF[left.dtype] || order(a, b));
  const described: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) {
    const sorted = Object.entries(metadata).sort(([a], [b]) => order(a, b));
    described.push(["__metadata__", Object.fromEntries(sorted)]);
  }
  let size = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    const needed = shape.reduce((product, axis) => product * axis, BYTES_OF[dtype]);
    if (needed !== data.byteLength || name === "__metadata__") {
      const tensor = describe({ name, dtype, shape: [...shape], byteLength: needed });
      throw new WeightsError(`Cannot write tensor ${tensor} as its ${needed} bytes: ${data.byteLength} were given`);
    }
    described.push([name, { dtype, shape, data_offsets: [size, size + needed] }]);
    size += needed;
  }
  // Spaces behind the header let the data start at a multiple of 8.
  const members = described.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(",");
  const json = new TextEncoder().encode(`{${members}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + length + size).fill(32, 8, 8 + length);
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true);
  file.set(json, 8);
  let at = 8 + length;
  for (const [, { data }] of entries) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}
