// NumPy's archives of arrays, and single arrays. In: a `.npz` or `.npy` file, a URL or bytes. Out: a WeightSource that reads one
// array, or a part of one, at a time; and the bytes of an archive that numpy.load reads.
import { WeightsError } from "../errors.ts";
import type { ByteSource } from "./byte_range.ts";
import type { OpenOptions } from "./byte_source.ts";
import type { Wrong } from "./byte_cursor.ts";
import { crc32 } from "./crc32.ts";
import { npyHeaderLength, parseNpyHeader, writeNpy } from "./npy.ts";
import { withSource } from "./opened.ts";
import { printable } from "./printable.ts";
import type { TensorData } from "./safetensors.ts";
import { inRowMajor } from "./strided.ts";
import { type ReadBytes, type TableEntry, TensorTable } from "./tensor_table.ts";
import type { WeightSource } from "./weights.ts";
import { type ZipMember, ZipReader } from "./zip_reader.ts";
import { writeZip } from "./zip_writer.ts";

/** Each array's header is read when the archive is opened, which must not take long. */
const MOST_ARRAYS = 10_000;

/**
 * Opens an archive of arrays, stored or deflated. The names are those of the arrays, without `.npy`.
 *
 * @param from A path or URL, or opened bytes, which the result then owns and closes.
 * @throws {WeightsError} that names the file, and the array that is broken or holds what is no number.
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { openNpz, writeNpz } from "./npz.ts";
 * const file = writeNpz({ mask: { dtype: "I16", shape: [1, 2], data: Int16Array.of(1, 0) } }, { compress: true });
 * using arrays = await openNpz(bytesOf("example", file));
 * console.assert(arrays.info("mask").dtype === "I16");
 * ```
 */
export function openNpz(from: string | URL | ByteSource, options: OpenOptions = {}): Promise<WeightSource> {
  return withSource(from, options, async (source) => {
    const wrong: Wrong = (state) => new WeightsError(`Cannot read ${source.name} as npz: ${state}`);
    const zip = await ZipReader.open(source, wrong);
    if (zip.members.size > MOST_ARRAYS) {
      throw wrong(`it has ${zip.members.size} members, and ${MOST_ARRAYS} are allowed`);
    }
    const entries = new Map<string, TableEntry>();
    for (const member of zip.members.values()) {
      if (!member.name.endsWith(".npy")) throw wrong(`its member "${printable(member.name)}" is no array`);
      const called: Wrong = (state) => wrong(`array "${printable(member.name)}": ${state}`);
      entries.set(member.name.slice(0, -4), await openMember(zip, member, called));
    }
    return new TensorTable(source.name, Object.create(null), entries, () => source.close());
  });
}

/**
 * Opens a single array; its name is that which NumPy gives arrays without a name, `arr_0`.
 *
 * @param from A path or URL, or opened bytes, which the result then owns and closes.
 * @throws {WeightsError} that names the file and what is wrong in it.
 */
export function openNpy(from: string | URL | ByteSource, options: OpenOptions = {}): Promise<WeightSource> {
  return withSource(from, options, async (source) => {
    const wrong: Wrong = (state) => new WeightsError(`Cannot read ${source.name} as npy: ${state}`);
    const read: ReadBytes = (start, length, into) => source.read(start, length, into);
    const { entry } = await openArray(read, source.size, wrong);
    return new TensorTable(source.name, Object.create(null), new Map([["arr_0", entry]]), () => source.close());
  });
}

async function openArray(
  read: ReadBytes,
  size: number,
  wrong: Wrong,
): Promise<{ entry: TableEntry; header: Uint8Array<ArrayBuffer> }> {
  const start = await read(0, Math.min(12, size));
  const header = (await read(0, Math.min(npyHeaderLength(start, wrong), size))).slice();
  const { dtype, shape, byteLength, layout, dataStart } = parseNpyHeader(header, size, wrong);
  const memory: ReadBytes = (start, length, into) => read(dataStart + start, length, into);
  return { entry: { dtype, shape, byteLength, read: inRowMajor(memory, layout) }, header };
}

async function openMember(zip: ZipReader, member: ZipMember, wrong: Wrong): Promise<TableEntry> {
  const { entry, header } = await openArray(zip.reader(member), member.size, wrong);
  // The reader that has inflated the header would keep its window of bytes for as long as the archive is open.
  const read = zip.reader(member);
  const memory: ReadBytes = async (start, length, into) => {
    const bytes = await read(header.length + start, length, into);
    // A deflated member checks itself when its end is reached; of a stored one, what is read at once can be checked.
    if (!member.isDeflated && length === entry.byteLength && crc32(bytes, crc32(header)) !== member.crc) {
      throw wrong("its bytes do not have the checksum that the archive states");
    }
    return bytes;
  };
  const { layout } = parseNpyHeader(header, member.size, wrong);
  return { ...entry, read: inRowMajor(memory, layout) };
}

/**
 * Writes arrays as an archive that numpy.load reads; the same arrays in the same order always give the same bytes.
 *
 * @param compress Whether to deflate them, as numpy.savez_compressed does.
 * @throws {WeightsError} when an array cannot be written.
 */
export function writeNpz(
  arrays: Record<string, TensorData> | Map<string, TensorData>,
  { compress = false }: { compress?: boolean } = {},
): Uint8Array<ArrayBuffer> {
  const entries = arrays instanceof Map ? [...arrays] : Object.entries(arrays);
  return writeZip(entries.map(([name, array]) => [`${name}.npy`, writeNpy(array)] as const), { deflate: compress });
}
