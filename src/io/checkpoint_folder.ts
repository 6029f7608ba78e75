// The weights of one component in a folder of a checkpoint. In: the folder (path or URL) and the stem of the file's name.
// Out: a WeightSource, from one file or from shards.
import { WeightsError } from "../errors.ts";
import { exists, joinPath, type OpenOptions } from "./byte_source.ts";
import { openSafetensors } from "./safetensors.ts";
import type { WeightSource } from "./weights.ts";

/** How to open a folder of weights. */
export interface WeightsOptions extends OpenOptions {
  /** The infix of another form of the same weights, such as `fp16` in `model.fp16.safetensors`. */
  variant?: string;
}

/**
 * Opens `<stem>.safetensors`, or the shards of `<stem>.safetensors.index.json`, in a folder.
 *
 * @param stem The name before the ending: `diffusion_pytorch_model`, `model` or another.
 * @throws {WeightsError} that names what was looked for, when neither is there.
 */
export async function openWeights(
  folder: string | URL,
  stem: string,
  options: WeightsOptions = {},
): Promise<WeightSource> {
  const { variant } = options;
  const candidates = variant === undefined
    ? [`${stem}.safetensors`, `${stem}.safetensors.index.json`]
    : [`${stem}.${variant}.safetensors`, `${stem}.safetensors.index.${variant}.json`];
  for (const file of candidates) {
    const address = joinPath(folder, file);
    if (await exists(address, options)) return openSafetensors(address, options);
  }
  throw new WeightsError(`Cannot open weights in ${folder}: neither ${candidates.join(" nor ")} is there`);
}
