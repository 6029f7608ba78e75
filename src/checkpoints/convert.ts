// Converting checkpoints. In: a network or a pipeline in any layout, and what it is to become. Out: the written networks.

import { ConfigError, UsageError } from "../errors.ts";
import { castWeights } from "../io/cast_weights.ts";
import { exists, folderOf, joinPath, readJson } from "../io/byte_source.ts";
import { readLora } from "../io/lora_file.ts";
import { loraModules, withLora } from "../io/lora_weights.ts";
import { isFile } from "../io/model_files.ts";
import { isRecord } from "../io/strict_json.ts";
import {
  CLASS_OF,
  componentsOf,
  isPipeline,
  type ModelKind,
  type OpenModel,
  openModel,
  type OpenModelOptions,
} from "./open_model.ts";
import { hasTokenizer, type PipelineClass, type PipelineParts, writePipeline } from "./pipeline_folder.ts";
import { formatOf, writeModel, type WriteModelOptions, type WrittenModel } from "./write_model.ts";

/** What a checkpoint is to become. */
export interface ConvertOptions extends OpenModelOptions, Omit<WriteModelOptions, "format" | "onProgress"> {
  /** By the ending of the path when left out. */
  format?: WriteModelOptions["format"];
  /** An autoencoder, a text encoder and a tokenizer that make a whole pipeline of a transformer: folders or files. */
  vae?: string;
  textEncoder?: string;
  tokenizer?: string;
  /** LoRAs and DoRAs to fuse into the transformer, in this order. */
  loras?: readonly { file: string; scale: number }[];
  onProgress?: (kind: ModelKind, written: number, total: number) => void;
}

/** Stable Diffusion's latents, which PixArt-α paints on, have this scale (REFERENCE V04). */
const ALPHA_SCALE = 0.18215;

/**
 * Converts a checkpoint.
 *
 * @param input A file, a component's folder, or a pipeline's folder.
 * @param out A folder, or a file whose ending tells its format.
 * @returns What was written.
 * @throws {UsageError} when the parts do not make what is asked for, or something is there and may not be written over.
 * @throws {WeightsError} when the checkpoint is broken, or a number in it does not fit the dtype.
 * @throws {ConfigError} when its config is missing and the tensors do not tell all of it.
 * @example
 * ```ts ignore
 * await convertModel("PixArt-Sigma-XL-2-1024-MS.pth", "sigma-1024/transformer", { dtype: "F16" });
 * ```
 */
export async function convertModel(input: string, out: string, options: ConvertOptions = {}): Promise<WrittenModel[]> {
  const { vae, textEncoder, onProgress, component } = options;
  const format = options.format ?? formatOf(out);
  const fromPipeline = component === undefined && await isPipeline(input);
  const toPipeline = vae !== undefined || textEncoder !== undefined || options.tokenizer !== undefined ||
    fromPipeline && format === "diffusers";
  if (!toPipeline) {
    using model = await opened(input, options);
    const { kind } = model;
    return [
      await writeModel(out, model, {
        ...options,
        format,
        onProgress: (done, total) => onProgress?.(kind, done, total),
      }),
    ];
  }
  if (format !== "diffusers") {
    throw new UsageError(`Cannot write a pipeline as ${format} as it must be a folder: give --out a folder's name`);
  }
  return await writePipeline(out, await partsOf(input, fromPipeline, options), options);
}

/** Opens a network; a transformer with its LoRAs, in the dtypes that it had without them. */
async function opened(address: string, options: ConvertOptions): Promise<OpenModel> {
  const model = await openModel(address, options);
  const { loras = [] } = options;
  if (loras.length === 0 || model.kind !== "transformer" && options.component !== undefined) return model;
  try {
    if (model.kind !== "transformer") {
      throw new UsageError(
        `Cannot fuse a LoRA into ${address} as it must be a transformer: it is ${CLASS_OF[model.kind]}`,
      );
    }
    let source = model.source;
    for (const { file, scale } of loras) {
      source = withLora(source, await readLora(file, loraModules(source), options), scale);
    }
    const plain = model.source;
    return { ...model, source: castWeights(source, ({ name }) => plain.info(name).dtype) };
  } catch (error) {
    model[Symbol.dispose]();
    throw error;
  }
}

async function partsOf(input: string, fromPipeline: boolean, options: ConvertOptions): Promise<PipelineParts> {
  const places = new Map<ModelKind, string>();
  if (fromPipeline) { for (const kind of await componentsOf(input)) places.set(kind, input); }
  else places.set("transformer", input);
  if (options.vae !== undefined) places.set("vae", options.vae);
  if (options.textEncoder !== undefined) places.set("text_encoder", options.textEncoder);
  const models = [...places].map(([component, place]) => () => opened(place, { ...options, component }));
  return {
    pipeline: await pipelineClass(input, fromPipeline, places, options),
    models,
    tokenizer: options.tokenizer ?? await findTokenizer(places.get("text_encoder")),
    scheduler: fromPipeline && await exists(joinPath(input, "scheduler")) ? joinPath(input, "scheduler") : undefined,
  };
}

/** The class of the pipeline: the one it had, or the one that its networks are of. */
async function pipelineClass(
  input: string,
  fromPipeline: boolean,
  places: ReadonlyMap<ModelKind, string>,
  options: ConvertOptions,
): Promise<PipelineClass> {
  if (fromPipeline) {
    const index = await readJson(joinPath(input, "model_index.json"));
    const name = isRecord(index) ? index._class_name : undefined;
    if (name === "PixArtAlphaPipeline" || name === "PixArtSigmaPipeline") return name;
    throw new ConfigError(
      `Cannot convert ${input} as its pipeline must be PixArtAlphaPipeline or PixArtSigmaPipeline: ${
        JSON.stringify(name)
      }`,
    );
  }
  if (options.family !== undefined) return options.family === "alpha" ? "PixArtAlphaPipeline" : "PixArtSigmaPipeline";
  using transformer = await openModel(input, { ...options, component: "transformer" });
  if (transformer.transformer?.useAdditionalConditions) return "PixArtAlphaPipeline";
  const vae = places.get("vae");
  if (vae === undefined) return "PixArtSigmaPipeline";
  using autoencoder = await openModel(vae, { ...options, component: "vae" });
  return autoencoder.json.scaling_factor === ALPHA_SCALE ? "PixArtAlphaPipeline" : "PixArtSigmaPipeline";
}

/** The tokenizer that lies with a text encoder: in its folder, beside it, or in its pipeline. */
async function findTokenizer(textEncoder: string | undefined): Promise<string | undefined> {
  if (textEncoder === undefined) return undefined;
  const folder = await isFile(textEncoder) ? folderOf(textEncoder) : textEncoder.replace(/(?<=.)[/\\]+$/, "");
  for (const place of [joinPath(folder, "tokenizer"), folder, joinPath(folderOf(folder), "tokenizer")]) {
    if (await hasTokenizer(place)) return place;
  }
  throw new UsageError(
    `Cannot make a pipeline with ${textEncoder} as a text encoder needs a tokenizer: none is found with it; give --tokenizer`,
  );
}
