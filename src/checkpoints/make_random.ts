// Random checkpoints of real networks, for trying what needs their size. In: a name, a seed, a format. Out: files that load like the
// released ones and paint noise.

import { UsageError } from "../errors.ts";
import type { TargetDType } from "../io/cast_weights.ts";
import { isQuantType } from "../io/gguf_blocks.ts";
import type { ModelKind } from "./open_model.ts";
import { writePipeline } from "./pipeline_folder.ts";
import { type RandomDType, RandomWeights } from "./random_weights.ts";
import { type RealModel, realModel, realPipeline } from "./real_models.ts";
import { formatOf, type WritableModel, writeModel, type WriteModelOptions, type WrittenModel } from "./write_model.ts";

/** What to make. */
export interface MakeRandomOptions extends Omit<WriteModelOptions, "format" | "onProgress"> {
  format?: WriteModelOptions["format"];
  seed?: number;
  /** One network of the pipeline that the transformer of this name is released in, or all; the named one when left out. */
  component?: ModelKind | "pipeline";
  /** A folder with the tokenizer of a pipeline. */
  tokenizer?: string;
  onProgress?: (kind: ModelKind, written: number, total: number) => void;
}

function randomModel(model: RealModel, options: MakeRandomOptions, inGguf: boolean): WritableModel & Disposable {
  const { dtype = "F32", seed = 0 } = options;
  // GGUF keeps some tensors in f32 whatever the dtype, so it converts what it needs.
  const made: RandomDType = inGguf || isQuantType(dtype) ? "F32" : dtype as RandomDType;
  const source = new RandomWeights(`random ${model.name}`, model.tensors, seed, made);
  return { ...model, source, [Symbol.dispose]: () => source[Symbol.dispose]() };
}

/**
 * Writes a random checkpoint. The same name, seed and dtype always give the same bytes.
 *
 * @param name One of `REAL_MODELS`.
 * @param out A folder, or a file whose ending tells its format.
 * @throws {UsageError} when there is no network of the name, or something is there and may not be written over.
 */
export async function makeRandom(name: string, out: string, options: MakeRandomOptions = {}): Promise<WrittenModel[]> {
  const { component, onProgress, tokenizer } = options;
  const format = options.format ?? formatOf(out);
  const dtype: TargetDType | undefined = format === "gguf" ? options.dtype ?? "F32" : undefined;
  if (component === "pipeline") {
    if (format !== "diffusers") {
      throw new UsageError(`Cannot write a pipeline as ${format} as it must be a folder: give --out a folder's name`);
    }
    const { pipeline, models } = realPipeline(name);
    const open = models.map((model) => () => Promise.resolve(randomModel(model, options, false)));
    return await writePipeline(out, { pipeline, models: open, tokenizer }, { ...options, dtype, onProgress });
  }
  const model = component === undefined || component === realModel(name).kind
    ? realModel(name)
    : realPipeline(name).models.find(({ kind }) => kind === component)!;
  using random = randomModel(model, options, format === "gguf");
  const progress = (done: number, total: number) => onProgress?.(model.kind, done, total);
  return [await writeModel(out, random, { ...options, format, dtype, onProgress: progress })];
}
