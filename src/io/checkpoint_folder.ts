// The weights of one component in a folder of a checkpoint. In: the folder (path or URL) and the stem of the file's name.
// Out: a WeightSource, from one file or from shards, in safetensors or, where there is none, in torch's format.
import { WeightsError } from "../errors.ts";
import { exists, joinPath, type OpenOptions } from "./byte_source.ts";
import { openWeightsFile } from "./open_weights_file.ts";
import type { WeightSource } from "./weights.ts";

/** How to open a folder of weights. */
export interface WeightsOptions extends OpenOptions {
  /** The infix of another form of the same weights, such as `fp16` in `model.fp16.safetensors`. */
  variant?: string;
}

/** The names of weights, most wanted first; transformers' torch files have a stem of their own. */
function candidatesFor(stem: string, variant: string | undefined): string[] {
  const torchStems = stem === "model" ? [stem, "pytorch_model"] : [stem];
  const files = [[stem, "safetensors"], ...torchStems.map((torchStem) => [torchStem, "bin"])];
  return files.flatMap(([name, ending]) =>
    variant === undefined
      ? [`${name}.${ending}`, `${name}.${ending}.index.json`]
      : [`${name}.${variant}.${ending}`, `${name}.${ending}.index.${variant}.json`]
  );
}

/**
 * Opens `<stem>.safetensors`, or the shards of `<stem>.safetensors.index.json`, in a folder; if neither is there, the same in
 * torch's format, `.bin`, whose stem is `pytorch_model` where safetensors has `model`.
 *
 * @param stem The name before the ending: `diffusion_pytorch_model`, `model` or another.
 * @throws {WeightsError} that names what was looked for, when nothing of it is there.
 */
export async function openWeights(
  folder: string | URL,
  stem: string,
  options: WeightsOptions = {},
): Promise<WeightSource> {
  const candidates = candidatesFor(stem, options.variant);
  for (const file of candidates) {
    const address = joinPath(folder, file);
    if (await exists(address, options)) return await openWeightsFile(address, options);
  }
  throw new WeightsError(`Cannot open weights in ${folder}: neither ${candidates.join(" nor ")} is there`);
}
