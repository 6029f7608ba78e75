// Mixing two transformers. In: two checkpoints of one shape, and how much of the second. Out: a checkpoint of the mixture with the
// config of the first.

import { UsageError } from "../errors.ts";
import { isTargetDType } from "../io/cast_weights.ts";
import { lerpWeights } from "../io/lerp_weights.ts";
import { openModel, type OpenModelOptions } from "./open_model.ts";
import { formatOf, writeModel, type WriteModelOptions, type WrittenModel } from "./write_model.ts";

/** How to mix. */
export interface MergeOptions extends OpenModelOptions, Omit<WriteModelOptions, "format"> {
  format?: WriteModelOptions["format"];
}

/**
 * Writes a + ratio * (b - a) of every weight of two transformers.
 *
 * @param a A file or folder in any layout; a pipeline's folder means its transformer.
 * @param ratio 0 is the first, 1 the second.
 * @throws {UsageError} when the ratio is not from 0 to 1, or something is there and may not be written over.
 * @throws {WeightsError} when their names or shapes differ.
 */
export async function mergeModels(
  a: string,
  b: string,
  ratio: number,
  out: string,
  options: MergeOptions = {},
): Promise<WrittenModel> {
  if (!(ratio >= 0 && ratio <= 1)) {
    throw new UsageError(`Cannot merge ${a} and ${b} as the ratio must be a number from 0 to 1: ${ratio}`);
  }
  const open: OpenModelOptions = { ...options, component: "transformer" };
  using first = await openModel(a, open);
  using second = await openModel(b, open);
  const source = lerpWeights(first.source, second.source, ratio);
  const stored = first.source.info(source.names()[0]).dtype;
  const dtype = options.dtype ?? (isTargetDType(stored) ? stored : undefined);
  return await writeModel(out, { ...first, source }, { ...options, dtype, format: options.format ?? formatOf(out) });
}
