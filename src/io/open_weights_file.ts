// Any file of weights. In: a path, a URL or bytes. Out: a WeightSource. What a file is, its first bytes tell; its name may lie.
import { WeightsError } from "../errors.ts";
import type { ByteSource } from "./byte_range.ts";
import { openGguf } from "./gguf.ts";
import { openNpy, openNpz } from "./npz.ts";
import { withSource } from "./opened.ts";
import { openSafetensors } from "./safetensors.ts";
import { openShards } from "./shards.ts";
import { openTorchFile, type TorchOptions } from "./torch_file.ts";
import type { WeightSource } from "./weights.ts";
import { ZipReader } from "./zip_reader.ts";

const KNOWN = "safetensors, a torch zip archive, a legacy torch pickle, GGUF, npz, npy";

/**
 * Opens a file of weights in any known format, or the shards that an index (`*.index.json`) lists.
 *
 * @param from A path or URL, or opened bytes, which the result then owns and closes.
 * @throws {WeightsError} when it is in none of the formats, which the message lists, or is broken.
 * @example
 * ```ts
 * import { openWeightsFile } from "./open_weights_file.ts";
 * using weights = await openWeightsFile("tests/golden/torch/nested.pth");
 * console.assert(weights.names().length > 0);
 * ```
 */
export async function openWeightsFile(
  from: string | URL | ByteSource,
  options: TorchOptions = {},
): Promise<WeightSource> {
  const isAddress = typeof from === "string" || from instanceof URL;
  if (isAddress && /\.index(\.[^./]+)?\.json([?#].*)?$/.test(String(from))) {
    return openShards(from, options, (shard) => openWeightsFile(shard, options));
  }
  return await withSource(from, options, async (source) => {
    const start = await source.read(0, Math.min(16, source.size));
    const begins = (...signs: number[]) => signs.every((sign, i) => start[i] === sign);
    if (begins(0x47, 0x47, 0x55, 0x46)) return openGguf(source);
    if (begins(0x80) && start[1] >= 2 && start[1] <= 5) return openTorchFile(source, options);
    if (begins(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59)) return openNpy(source);
    if (begins(0x50, 0x4b, 3, 4) || begins(0x50, 0x4b, 5, 6)) return openArchive(source, options);
    // The length of the header, which no known file has at more than 2^32, then an object of JSON.
    if (start.length > 8 && start[8] === 0x7b && begins(start[0], start[1], start[2], start[3], 0, 0, 0, 0)) {
      return openSafetensors(source);
    }
    throw unknown(source.name, `it begins with ${hex(start) || "nothing"}`);
  });
}

async function openArchive(source: ByteSource, options: TorchOptions): Promise<WeightSource> {
  const wrong = (state: string) => new WeightsError(`Cannot read ${source.name} as an archive of weights: ${state}`);
  const names = [...(await ZipReader.open(source, wrong)).members.keys()];
  if (names.some((name) => /^[^/]+\/data\.pkl$/.test(name))) return openTorchFile(source, options);
  if (names.length > 0 && names.every((name) => name.endsWith(".npy"))) return openNpz(source);
  const listed = names.slice(0, 3).map((name) => JSON.stringify(name.slice(0, 60))).join(", ") || "nothing";
  throw unknown(source.name, `it is a zip archive of ${listed}, with neither NAME/data.pkl nor arrays alone`);
}

const unknown = (name: string, state: string) => {
  return new WeightsError(`Cannot open ${name} as weights: ${state}, and is none of ${KNOWN}`);
};

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
