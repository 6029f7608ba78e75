// Writing safetensors, one file or shards with an index, as Hugging Face's programs read them. In: a WeightSource, read piece by piece.
// Out: files; the same tensors always give the same bytes.

import { WeightsError } from "../errors.ts";
import { joinPath } from "./byte_source.ts";
import { OutputFile } from "./output_file.ts";
import { streamTensor, type WriteOptions } from "./tensor_stream.ts";
import { isQuantType } from "./gguf_blocks.ts";
import { BYTES_OF, describe, type TensorDType, type TensorInfo, type WeightSource } from "./weights.ts";

/** The largest shard that Hugging Face's programs write by default. */
export const SHARD_BYTES = 5e9;

/** How to write safetensors. */
export interface SafetensorsOptions extends WriteOptions {
  /** What the file says of itself; transformers refuses files that do not say `format`. */
  metadata?: Record<string, string>;
}

const byName = (a: string, b: string) => a < b ? -1 : a > b ? 1 : 0;

/**
 * Writes tensors as one safetensors file. Names are sorted, wider dtypes come first.
 *
 * @param names Which tensors; all when left out.
 * @throws {WeightsError} when a tensor is in blocks, which the format does not have.
 */
export async function writeSafetensors(
  file: OutputFile,
  source: WeightSource,
  { metadata = { format: "pt" }, ...options }: SafetensorsOptions = {},
  names: readonly string[] = source.names(),
): Promise<void> {
  const infos = names.map((name) => source.info(name));
  const widths = new Map(infos.map((info) => [info.name, widthOf(info, source)]));
  infos.sort((a, b) => widths.get(b.name)! - widths.get(a.name)! || byName(a.name, b.name));
  const entries = Object.entries(metadata).sort(([a], [b]) => byName(a, b));
  const members = entries.length > 0 ? [`"__metadata__":${JSON.stringify(Object.fromEntries(entries))}`] : [];
  let at = 0;
  for (const { name, dtype, shape, byteLength } of infos) {
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [at, at + byteLength] })}`);
    at += byteLength;
  }
  // Spaces behind the header let the data start at a multiple of 8.
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(32);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  await file.append(header);
  for (const { name } of infos) await streamTensor(source, name, options, (bytes) => file.append(bytes));
}

function widthOf(info: TensorInfo, { name }: WeightSource): number {
  if (!isQuantType(info.dtype)) return BYTES_OF[info.dtype as TensorDType];
  throw new WeightsError(`Cannot write ${describe(info)} of ${name} as safetensors has no blocks: write GGUF`);
}

/** Cuts names into groups of at most `most` bytes, in order; a tensor that is larger has a group of its own. */
function groupsOf(source: WeightSource, most: number): string[][] {
  const groups: string[][] = [[]];
  let size = 0;
  for (const name of source.names()) {
    const { byteLength } = source.info(name);
    if (size > 0 && size + byteLength > most) {
      groups.push([]);
      size = 0;
    }
    groups.at(-1)!.push(name);
    size += byteLength;
  }
  return groups;
}

/**
 * Writes `<stem>.safetensors` into a folder, or `<stem>-00001-of-00002.safetensors` and so on with an index.
 *
 * @param stem The name before the ending: `diffusion_pytorch_model` or `model`.
 * @param shardBytes The most bytes of tensors in one file.
 * @returns The names of the files.
 */
export async function writeSafetensorsFolder(
  folder: string,
  stem: string,
  source: WeightSource,
  { shardBytes = SHARD_BYTES, ...options }: SafetensorsOptions & { shardBytes?: number } = {},
): Promise<string[]> {
  const groups = groupsOf(source, shardBytes);
  const number = (value: number) => String(value).padStart(5, "0");
  const fileOf = (i: number) =>
    groups.length === 1 ? `${stem}.safetensors` : `${stem}-${number(i + 1)}-of-${number(groups.length)}.safetensors`;
  const files: string[] = [];
  for (const [i, names] of groups.entries()) {
    using file = await OutputFile.create(joinPath(folder, fileOf(i)));
    await writeSafetensors(file, source, options, names);
    await file.finish();
    files.push(fileOf(i));
  }
  if (groups.length === 1) return files;
  const places = groups.flatMap((names, i) => names.map((name) => [name, fileOf(i)] as const));
  const total = source.names().reduce((sum, name) => sum + source.info(name).byteLength, 0);
  const index = {
    metadata: { total_size: total },
    weight_map: Object.fromEntries(places.sort(([a], [b]) => byName(a, b))),
  };
  const name = `${stem}.safetensors.index.json`;
  await Deno.writeTextFile(joinPath(folder, name), `${JSON.stringify(index, null, 2)}\n`);
  return [...files, name];
}
