// Writing a network in any format. In: an open checkpoint. Out: a folder of diffusers or transformers, a torch file in the original's
// names, one safetensors file, or GGUF; there whole or not at all, and the same bytes for the same tensors.

import { UsageError } from "../errors.ts";
import { castWeights, isFloat, type TargetDType } from "../io/cast_weights.ts";
import { joinPath } from "../io/byte_source.ts";
import { BLOCK_OF, isQuantType } from "../io/gguf_blocks.ts";
import { type GgufValue, writeGguf } from "../io/gguf_writer.ts";
import { asOriginal } from "../io/original_names.ts";
import {
  checkFree,
  type OutputFile,
  type ReplaceOptions,
  writeFileWhole,
  writeFolderWhole,
} from "../io/output_file.ts";
import { writeSafetensors, writeSafetensorsFolder } from "../io/safetensors_writer.ts";
import { asT5Gguf } from "../io/t5_gguf_names.ts";
import { writeTorchFile } from "../io/torch_writer.ts";
import type { StoredDType, TensorInfo, WeightSource } from "../io/weights.ts";
import { configText } from "./config_text.ts";
import { originalConfigJson } from "../dit/config_json.ts";
import type { ModelKind, OpenModel } from "./open_model.ts";

/** The formats, as `--format` names them. */
export const FORMATS = ["diffusers", "pth", "safetensors", "gguf"] as const;

/** A format to write. */
export type ModelFormat = typeof FORMATS[number];

/** A network to be written. */
export type WritableModel = Pick<OpenModel, "kind" | "json" | "transformer" | "source">;

/** How to write a network. */
export interface WriteModelOptions extends ReplaceOptions {
  format: ModelFormat;
  /** What floats are stored as; as they are when left out. */
  dtype?: TargetDType;
  /** The most bytes in one file of a folder. */
  shardBytes?: number;
  /** Told after each piece: bytes of tensors written, of all that will be. */
  onProgress?: (written: number, total: number) => void;
  signal?: AbortSignal;
}

/** What was written. */
export interface WrittenModel {
  path: string;
  kind: ModelKind;
  format: ModelFormat;
  tensors: number;
  /** Bytes of its tensors. */
  bytes: number;
}

/** The name of the weights in a folder, before the ending. */
const STEM: Readonly<Record<ModelKind, string>> = {
  transformer: "diffusion_pytorch_model",
  text_encoder: "model",
  vae: "diffusion_pytorch_model",
};

/** The format that a path asks for by its ending: a folder unless it is that of a file. */
export function formatOf(path: string): ModelFormat {
  if (/\.(pth|pt|ckpt|bin)$/i.test(path)) return "pth";
  if (/\.safetensors$/i.test(path)) return "safetensors";
  return /\.gguf$/i.test(path) ? "gguf" : "diffusers";
}

const isMatrix = ({ name, shape }: TensorInfo) =>
  shape.length >= 2 && name.endsWith(".weight") && !name.includes("relative_attention_bias");

/** What a transformer does once a picture or a step: a fortieth of its weights, which in blocks would make half of the error. */
const AROUND_BLOCKS = /^(pos_embed|adaln_single|caption_projection|proj_out)\./;

/**
 * The dtype of a tensor in a file. GGUF keeps what is small and precious in f32, and rows that do not fill blocks in f16, as ggml's
 * programs do.
 */
function dtypeFor(info: TensorInfo, format: ModelFormat, target: TargetDType | undefined): StoredDType {
  if (target === undefined || !isFloat(info.dtype)) return info.dtype;
  if (format !== "gguf") return target;
  if (!isMatrix(info)) return "F32";
  if (!isQuantType(target)) return target;
  const fits = info.shape.at(-1)! % BLOCK_OF[target].elements === 0;
  return fits && !AROUND_BLOCKS.test(info.name) ? target : "F16";
}

/** Sees the tensors as they are to be stored. */
function stored(model: WritableModel, { format, dtype }: WriteModelOptions): WeightSource {
  const cast = dtype === undefined ? model.source : castWeights(model.source, (info) => dtypeFor(info, format, dtype));
  if (format === "pth" && model.kind === "transformer") return asOriginal(cast);
  return format === "gguf" && model.kind === "text_encoder" ? asT5Gguf(cast) : cast;
}

const TORCH_DTYPES: Partial<Record<StoredDType, string>> = { F32: "float32", F16: "float16", BF16: "bfloat16" };

/** The config, in which transformers looks for the dtype to load the weights as. */
function configFor({ kind, json }: WritableModel, source: WeightSource): Record<string, unknown> {
  if (kind !== "text_encoder") return json;
  const { dtype: _old, torch_dtype: _older, ...rest } = json;
  const torchDType = TORCH_DTYPES[source.info(source.names()[0]).dtype];
  return torchDType === undefined ? rest : { ...rest, torch_dtype: torchDType };
}

const bytesOf = (source: WeightSource) => source.names().reduce((sum, name) => sum + source.info(name).byteLength, 0);

/** A model as it will lie in the file, and how far the writing is. */
function prepare(model: WritableModel, options: WriteModelOptions) {
  checkDType(model, options);
  const source = stored(model, options);
  const total = bytesOf(source);
  let written = 0;
  const stream = {
    signal: options.signal,
    onBytes(bytes: number) {
      written += bytes;
      options.onProgress?.(written, total);
    },
  };
  return { source, total, stream };
}

/**
 * Fills an empty folder with a network in the layout of diffusers or transformers.
 *
 * @throws {WeightsError} when a number does not fit the dtype.
 */
export async function fillModelFolder(
  folder: string,
  model: WritableModel,
  options: Omit<WriteModelOptions, "format" | "overwrite">,
): Promise<WrittenModel> {
  const { source, total, stream } = prepare(model, { ...options, format: "diffusers" });
  await writeSafetensorsFolder(folder, STEM[model.kind], source, { ...stream, shardBytes: options.shardBytes });
  await Deno.writeTextFile(joinPath(folder, "config.json"), configText(configFor(model, source)));
  return { path: folder, kind: model.kind, format: "diffusers", tensors: source.names().length, bytes: total };
}

/**
 * Writes a network. Never more than a piece of a tensor is in memory.
 *
 * @param out A folder for diffusers' format, else a file. Beside a torch file, `NAME.json` says what its tensors do not.
 * @throws {UsageError} when something is there and may not be written over, or the format does not have the dtype.
 * @throws {WeightsError} when a number does not fit the dtype.
 */
export async function writeModel(out: string, model: WritableModel, options: WriteModelOptions): Promise<WrittenModel> {
  const { format, overwrite } = options;
  if (format === "diffusers") {
    const written = await writeFolderWhole(out, { overwrite }, (folder) => fillModelFolder(folder, model, options));
    return { ...written, path: out };
  }
  const { source, total, stream } = prepare(model, options);
  if (format === "pth") await checkFree(sidecarOf(out), { overwrite });
  await writeFileWhole(out, { overwrite }, async (file) => {
    await writeInto(file, source, model, format, stream);
    if (format === "pth") await writeSidecar(out, model, overwrite);
  });
  return { path: out, kind: model.kind, format, tensors: source.names().length, bytes: total };
}

function checkDType({ kind }: WritableModel, { format, dtype }: WriteModelOptions): void {
  if (dtype !== undefined && isQuantType(dtype) && format !== "gguf") {
    throw new UsageError(
      `Cannot write ${dtype} as ${format} as only GGUF has blocks: give --out a name that ends in .gguf`,
    );
  }
  if (format === "gguf" && kind === "vae") {
    throw new UsageError("Cannot write an autoencoder as GGUF as no program reads that: write it as a folder");
  }
}

function writeInto(
  file: OutputFile,
  source: WeightSource,
  model: WritableModel,
  format: ModelFormat,
  stream: { signal?: AbortSignal; onBytes(bytes: number): void },
): Promise<void> {
  const config = JSON.stringify(configFor(model, source));
  if (format === "pth") return writeTorchFile(file, source, stream);
  if (format === "gguf") return writeGguf(file, source, ggufMetadata(model, config), stream);
  return writeSafetensors(file, source, { ...stream, metadata: { format: "pt", config } });
}

const sidecarOf = (out: string) => out.replace(/\.[^./\\]*$/, ".json");

/** The config of a torch file, which has no room for one; it is there before the file is, and means nothing without it. */
async function writeSidecar(out: string, { json, transformer }: WritableModel, overwrite?: boolean): Promise<void> {
  const text = configText(transformer ? originalConfigJson(transformer) : json);
  const bytes = new TextEncoder().encode(text);
  await writeFileWhole(sidecarOf(out), { overwrite }, (file) => file.append(bytes));
}

function ggufMetadata({ kind, json }: WritableModel, config: string): Record<string, GgufValue> {
  const own = { "general.alignment": 32, "general.quantization_version": 2, config };
  if (kind === "transformer") return { "general.architecture": "pixart", ...own };
  const number = (key: string) => Number(json[key]);
  return {
    "general.architecture": "t5encoder",
    "t5encoder.context_length": 512,
    "t5encoder.embedding_length": number("d_model"),
    "t5encoder.feed_forward_length": number("d_ff"),
    "t5encoder.block_count": number("num_layers"),
    "t5encoder.attention.head_count": number("num_heads"),
    "t5encoder.attention.key_length": number("d_kv"),
    "t5encoder.attention.value_length": number("d_kv"),
    "t5encoder.attention.layer_norm_epsilon": number("layer_norm_epsilon"),
    "t5encoder.attention.layer_norm_rms_epsilon": number("layer_norm_epsilon"),
    "t5encoder.attention.relative_buckets_count": number("relative_attention_num_buckets"),
    ...own,
  };
}
