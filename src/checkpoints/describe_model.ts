// What a checkpoint is. In: a file or folder in any format. Out: its tensors as they are stored, and what network they are. Only
// headers are read, so that a file of many gigabytes is described at once.

import { PixArtError } from "../errors.ts";
import { joinPath } from "../io/byte_source.ts";
import type { StoredDType, WeightSource } from "../io/weights.ts";
import type { TransformerConfig } from "../dit/config.ts";
import {
  CLASS_OF,
  componentsOf,
  isPipeline,
  kindsOf,
  openModel,
  type OpenModelOptions,
  openStored,
} from "./open_model.ts";

/** A tensor as it is stored. */
export interface TensorDescription {
  name: string;
  dtype: StoredDType;
  shape: number[];
  bytes: number;
}

/** A checkpoint's description. */
export interface ModelDescription {
  path: string;
  /** The class of the network, `adapter` for a LoRA, `unknown` for other tensors, several classes for a file of several. */
  model: string;
  /** One line about the network's extents; empty where it is unknown. */
  about: string;
  /** Its config, read or guessed. */
  config?: Record<string, unknown>;
  isGuessed?: boolean;
  /** Why there is no config: what would have to be told. */
  unknown?: string;
  parameters: number;
  bytes: number;
  /** Bytes by dtype. */
  dtypes: Record<string, number>;
  metadata: Record<string, string>;
  tensors: TensorDescription[];
}

const ADAPTER = /\.(lora_[AB]|lora_(down|up)|lora\.(down|up)|lora_magnitude_vector|hada_w1_a|lokr_w1)(\.|$)/;

/** One for each block that a ControlNet copies, in either layout; the original's file may have the base network, too. */
const CONTROL = /(^|\.)controlnet(_blocks)?\.\d+\.after_proj\.weight$/;

function tensorsOf(source: WeightSource): TensorDescription[] {
  return source.names().map((name) => {
    const { dtype, shape, byteLength } = source.info(name);
    return { name, dtype, shape, bytes: byteLength };
  });
}

const countOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** The extents of a network in words. */
function aboutTransformer(config: TransformerConfig): string {
  const { numLayers, numAttentionHeads, attentionHeadDim, sampleSize, interpolationScale } = config;
  const { kvCompression: compression } = config;
  const more = [
    config.useAdditionalConditions ? "size conditions" : "",
    config.qkNorm ? "normalised queries and keys" : "",
    compression ? `keys compressed ${compression.scaleFactor}x by ${compression.sampling}` : "",
  ];
  return [
    `${numLayers} blocks of width ${numAttentionHeads * attentionHeadDim}`,
    `${numAttentionHeads} heads`,
    `${sampleSize * 8} pixels`,
    `positions divided by ${interpolationScale}`,
    ...more.filter((text) => text !== ""),
  ].join(", ");
}

function about(json: Record<string, unknown>, transformer?: TransformerConfig): string {
  if (transformer) return aboutTransformer(transformer);
  if (json.model_type === "t5") {
    return `${json.num_layers} blocks of width ${json.d_model}, ${json.num_heads} heads, ${json.vocab_size} tokens`;
  }
  const widths = Array.isArray(json.block_out_channels) ? json.block_out_channels.join(", ") : "";
  return `levels of ${widths} channels, ${json.latent_channels ?? 4} latent channels, scale ${
    json.scaling_factor ?? 0.18215
  }`;
}

async function describeOne(address: string, options: OpenModelOptions): Promise<ModelDescription> {
  const files = await openStored(address, options);
  using source = files.source;
  const tensors = tensorsOf(source);
  const dtypes: Record<string, number> = {};
  for (const { dtype, bytes } of tensors) dtypes[dtype] = (dtypes[dtype] ?? 0) + bytes;
  const kinds = kindsOf(files);
  const isAdapter = tensors.some(({ name }) => ADAPTER.test(name));
  const copies = tensors.filter(({ name }) => CONTROL.test(name));
  const classes = [
    ...kinds.map((kind) => CLASS_OF[kind]),
    ...(copies.length > 0 ? ["PixArtControlNetAdapterModel"] : []),
  ];
  const description: ModelDescription = {
    path: address,
    model: isAdapter ? "adapter" : classes.join(" and ") || "unknown",
    about: copies.length > 0 ? `${copies.length} copied blocks of width ${copies[0].shape[0]}` : "",
    parameters: tensors.reduce((sum, { shape }) => sum + countOf(shape), 0),
    bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
    dtypes,
    metadata: { ...source.metadata },
    tensors,
  };
  if (isAdapter || kinds.length !== 1 || copies.length > 0) return description;
  try {
    using model = await openModel(address, { ...options, component: kinds[0] });
    const { json: config, isGuessed } = model;
    return { ...description, config, isGuessed, about: about(config, model.transformer) };
  } catch (error) {
    if (!(error instanceof PixArtError)) throw error;
    return { ...description, unknown: error.message };
  }
}

/**
 * Describes a checkpoint.
 *
 * @param address A file in any format, a component's folder, or a pipeline's folder.
 * @returns A description for each network: one, or those of the pipeline.
 * @throws {WeightsError} when there are no weights, or they are broken.
 * @example
 * ```ts
 * import { describeModel } from "./describe_model.ts";
 * const [{ model, tensors }] = await describeModel("tests/golden/dit-sigma");
 * console.assert(model === "PixArtTransformer2DModel" && tensors.length > 0);
 * ```
 */
export async function describeModel(address: string, options: OpenModelOptions = {}): Promise<ModelDescription[]> {
  if (!await isPipeline(address, options)) return [await describeOne(address, options)];
  const kinds = options.component ? [options.component] : await componentsOf(address);
  const descriptions: ModelDescription[] = [];
  for (const kind of kinds) {
    descriptions.push(await describeOne(joinPath(address, kind), { ...options, component: kind }));
  }
  return descriptions;
}
