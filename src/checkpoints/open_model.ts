// A network's checkpoint, whichever of the three it is and in whatever layout. In: a path or URL. Out: what it is, its config, and its
// weights under the names of today. A kind that no config states is told by the names of the tensors.

import { ConfigError, UsageError, WeightsError } from "../errors.ts";
import { exists, joinPath, readJson } from "../io/byte_source.ts";
import { asPlainFloats } from "../io/cast_weights.ts";
import { isFile, type ModelFiles, type ModelFilesOptions, openModelFiles } from "../io/model_files.ts";
import { isRecord } from "../io/strict_json.ts";
import { T5_ANCHORS } from "../io/t5_names.ts";
import { VAE_ANCHOR } from "../io/vae_names.ts";
import { prefixBefore } from "../io/weight_prefix.ts";
import type { WeightSource } from "../io/weights.ts";
import type { TransformerConfig } from "../dit/config.ts";
import { transformerConfigJson } from "../dit/config_json.ts";
import type { TransformerHints } from "../dit/guess_config.ts";
import { isOriginalConfig, openTransformer, TRANSFORMER_ANCHORS } from "../dit/open_transformer.ts";
import { openTextEncoder } from "../text/open_text_encoder.ts";
import type { AutoencoderHints } from "../vae/guess_config.ts";
import { openAutoencoder } from "../vae/open_autoencoder.ts";

/** The networks, by the names that a pipeline's folder gives them. */
export const MODEL_KINDS = ["transformer", "text_encoder", "vae"] as const;

/** A network of a pipeline. */
export type ModelKind = typeof MODEL_KINDS[number];

/** The class of each network. */
export const CLASS_OF: Readonly<Record<ModelKind, string>> = {
  transformer: "PixArtTransformer2DModel",
  text_encoder: "T5EncoderModel",
  vae: "AutoencoderKL",
};

/** How to find a checkpoint, and what the user knows of it. */
export interface OpenModelOptions extends ModelFilesOptions, TransformerHints, AutoencoderHints {
  /** Which network is wanted, where a pipeline or a file has several. */
  component?: ModelKind;
}

/** An open checkpoint. */
export interface OpenModel extends Disposable {
  kind: ModelKind;
  /** The config as diffusers or transformers reads it. */
  json: Record<string, unknown>;
  /** The parsed config of a transformer. */
  transformer?: TransformerConfig;
  /** Under the names of diffusers or transformers, in plain floats. */
  source: WeightSource;
  /** Whether the config was guessed from the tensors. */
  isGuessed: boolean;
}

/** Whether a folder is that of a whole pipeline. */
export async function isPipeline(address: string, options: ModelFilesOptions = {}): Promise<boolean> {
  return !await isFile(address) && await exists(joinPath(address, "model_index.json"), options);
}

/**
 * The components that a pipeline's index names.
 *
 * @throws {ConfigError} when the index is not a JSON object.
 */
export async function componentsOf(pipeline: string): Promise<ModelKind[]> {
  const index = await readJson(joinPath(pipeline, "model_index.json"));
  if (!isRecord(index)) {
    throw new ConfigError(`Cannot read ${pipeline} as model_index.json must be an object: it is none`);
  }
  return MODEL_KINDS.filter((kind) => Array.isArray(index[kind]) && (index[kind] as unknown[])[1]);
}

/**
 * The networks that a file or folder of weights holds: what its tensors are, since a config beside a file may be its neighbour's;
 * the config decides where tensors are of several networks, or of none.
 */
export function kindsOf({ config, source }: Pick<ModelFiles, "config" | "source">): ModelKind[] {
  const names = source.names();
  const has = (anchors: readonly string[]) => prefixBefore(names, anchors) !== undefined;
  const found: Record<ModelKind, boolean> = {
    transformer: has(TRANSFORMER_ANCHORS),
    text_encoder: has(T5_ANCHORS),
    vae: has([VAE_ANCHOR]),
  };
  const kinds = MODEL_KINDS.filter((kind) => found[kind]);
  const stated = config && kindOfConfig(config);
  return stated && (kinds.length === 0 || kinds.includes(stated)) ? [stated] : kinds;
}

function kindOfConfig(config: Record<string, unknown>): ModelKind | undefined {
  const { _class_name: name, model_type: type } = config;
  if (isOriginalConfig(config) || name === "PixArtTransformer2DModel" || name === "Transformer2DModel") {
    return "transformer";
  }
  if (name === "AutoencoderKL") return "vae";
  return type === "t5" ? "text_encoder" : undefined;
}

/**
 * Opens the weights of a file or of a component's folder as they are stored.
 *
 * @throws {WeightsError} when there are none, or they are broken.
 */
export async function openStored(address: string, options: ModelFilesOptions = {}): Promise<ModelFiles> {
  const rule = (stem: string) => ({
    component: "transformer",
    stem,
    isOwn: (config: Record<string, unknown>) => kindOfConfig(config) !== undefined,
  });
  try {
    return await openModelFiles(address, rule("diffusion_pytorch_model"), options);
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    const ofTransformers = await openModelFiles(address, rule("model"), options).catch(() => undefined);
    if (!ofTransformers) throw error;
    return ofTransformers;
  }
}

async function kindAt(address: string, options: OpenModelOptions): Promise<ModelKind> {
  if (options.component) return options.component;
  if (await isPipeline(address, options)) return "transformer";
  const files = await openStored(address, options);
  using _source = files.source;
  const kinds = kindsOf(files);
  const [kind, ...more] = kinds;
  if (kind === undefined) {
    const some = files.source.names().slice(0, 3).join(", ");
    throw new WeightsError(`Cannot tell what ${address} is as its tensors must be a network's that is known: ${some}`);
  }
  if (more.length > 0) {
    throw new UsageError(`Cannot choose from ${address} as it holds ${kinds.join(" and ")}: give --component`);
  }
  return kind;
}

/**
 * Opens a checkpoint. Only headers are read.
 *
 * @param address A component's folder, a pipeline's folder (its transformer, unless `component` says otherwise), or a file.
 * @throws {WeightsError} when it is no network that is known, or is broken.
 * @throws {ConfigError} when its config is missing and the tensors do not tell all of it.
 * @throws {UsageError} when it holds several networks and `component` does not say which.
 * @example
 * ```ts
 * import { openModel } from "./open_model.ts";
 * using model = await openModel("tests/golden/vae");
 * console.assert(model.kind === "vae" && model.source.has("quant_conv.weight"));
 * ```
 */
export async function openModel(address: string, options: OpenModelOptions = {}): Promise<OpenModel> {
  const kind = await kindAt(address, options);
  const { json, transformer, source, isGuessed } = await opened(kind, address, options);
  return { kind, json, transformer, source, isGuessed, [Symbol.dispose]: () => source[Symbol.dispose]() };
}

async function opened(
  kind: ModelKind,
  address: string,
  options: OpenModelOptions,
): Promise<Omit<OpenModel, "kind" | typeof Symbol.dispose>> {
  if (kind === "text_encoder") {
    const { source, ...model } = await openTextEncoder(address, options);
    return { ...model, source: asPlainFloats(source) };
  }
  if (kind === "vae") return await openAutoencoder(address, options);
  const { config, source, isGuessed } = await openTransformer(address, options);
  return { json: transformerConfigJson(config), transformer: config, source: asPlainFloats(source), isGuessed };
}
