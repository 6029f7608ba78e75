// The networks that were released, by the extents that their configs state. In: a name. Out: what a network of that name is.

import { UsageError } from "../errors.ts";
import { type KvCompression, parseTransformerConfig, type TransformerConfig } from "../dit/config.ts";
import { transformerConfigJson } from "../dit/config_json.ts";
import { parseT5Config } from "../text/t5_config.ts";
import { parseAutoencoderConfig } from "../vae/config.ts";
import { CLASS_OF, type ModelKind } from "./open_model.ts";
import type { PipelineClass } from "./pipeline_folder.ts";
import { autoencoderTensors, t5Tensors, transformerTensors } from "./random_tensors.ts";
import type { RandomTensor } from "./random_weights.ts";

/** A network with its config and its tensors. */
export interface RealModel {
  name: string;
  kind: ModelKind;
  json: Record<string, unknown>;
  transformer?: TransformerConfig;
  tensors: RandomTensor[];
}

interface TransformerTraits {
  family: "alpha" | "sigma";
  imageSize: number;
  interpolation: number;
  depth?: number;
  microConditions?: boolean;
  compression?: KvCompression;
}

const sigma = (imageSize: number, more: Partial<TransformerTraits> = {}): TransformerTraits => {
  return { family: "sigma", imageSize, interpolation: imageSize / 512, ...more };
};

/** XL/2 in all its forms (REFERENCE M01, P03, C01, K07). */
const TRANSFORMERS: Readonly<Record<string, TransformerTraits>> = {
  "sigma-256": sigma(256),
  "sigma-512": sigma(512),
  "sigma-1024": sigma(1024),
  "sigma-2k": sigma(2048),
  "sigma-1024-kvcompress": sigma(1024, {
    compression: { sampling: "conv", scaleFactor: 2, layers: Array.from({ length: 14 }, (_, i) => 14 + i) },
  }),
  "sigma-900m": sigma(1024, { depth: 42 }),
  "alpha-256": { family: "alpha", imageSize: 256, interpolation: 1 },
  "alpha-512": { family: "alpha", imageSize: 512, interpolation: 1 },
  "alpha-1024": { family: "alpha", imageSize: 1024, interpolation: 2, microConditions: true },
};

const T5_XXL = {
  architectures: ["T5EncoderModel"],
  d_ff: 10240,
  d_kv: 64,
  d_model: 4096,
  decoder_start_token_id: 0,
  dense_act_fn: "gelu_new",
  dropout_rate: 0.1,
  eos_token_id: 1,
  feed_forward_proj: "gated-gelu",
  initializer_factor: 1,
  is_encoder_decoder: true,
  is_gated_act: true,
  layer_norm_epsilon: 1e-6,
  model_type: "t5",
  num_decoder_layers: 24,
  num_heads: 64,
  num_layers: 24,
  output_past: true,
  pad_token_id: 0,
  relative_attention_max_distance: 128,
  relative_attention_num_buckets: 32,
  tie_word_embeddings: false,
  use_cache: true,
  vocab_size: 32128,
};

/** Stable Diffusion's autoencoder and SDXL's have the same extents (REFERENCE V04, F15). */
const autoencoder = (scalingFactor: number, sampleSize: number) => ({
  _class_name: CLASS_OF.vae,
  act_fn: "silu",
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array(4).fill("DownEncoderBlock2D"),
  force_upcast: true,
  in_channels: 3,
  latent_channels: 4,
  layers_per_block: 2,
  norm_num_groups: 32,
  out_channels: 3,
  sample_size: sampleSize,
  scaling_factor: scalingFactor,
  up_block_types: Array(4).fill("UpDecoderBlock2D"),
});

const AUTOENCODERS: Readonly<Record<string, ReturnType<typeof autoencoder>>> = {
  "sdxl-vae": autoencoder(0.13025, 1024),
  "sd-vae": autoencoder(0.18215, 256),
};

const TEXT_ENCODER = "t5-xxl";

/** The names of all networks. */
export const REAL_MODELS: readonly string[] = [
  ...Object.keys(TRANSFORMERS),
  TEXT_ENCODER,
  ...Object.keys(AUTOENCODERS),
];

/**
 * A network by its name.
 *
 * @throws {UsageError} when there is none of the name.
 * @example
 * ```ts
 * import { realModel } from "./real_models.ts";
 * console.assert(realModel("sigma-2k").transformer?.sampleSize === 256);
 * ```
 */
export function realModel(name: string): RealModel {
  if (Object.hasOwn(TRANSFORMERS, name)) {
    const transformer = transformerConfig(TRANSFORMERS[name]);
    const json = transformerConfigJson(transformer);
    return { name, kind: "transformer", json, transformer, tensors: transformerTensors(transformer) };
  }
  if (Object.hasOwn(AUTOENCODERS, name)) {
    const json = AUTOENCODERS[name];
    return { name, kind: "vae", json, tensors: autoencoderTensors(parseAutoencoderConfig(json)) };
  }
  if (name === TEXT_ENCODER) {
    return { name, kind: "text_encoder", json: T5_XXL, tensors: t5Tensors(parseT5Config(T5_XXL)) };
  }
  throw new UsageError(`Cannot make ${name} as it must be one of ${REAL_MODELS.join(", ")}: it is none of them`);
}

function transformerConfig(traits: TransformerTraits): TransformerConfig {
  const config = parseTransformerConfig({
    num_layers: traits.depth ?? 28,
    sample_size: traits.imageSize / 8,
    interpolation_scale: traits.interpolation,
    use_additional_conditions: traits.microConditions ?? false,
  });
  return { ...config, kvCompression: traits.compression };
}

/**
 * The networks of the pipeline that a transformer is released in.
 *
 * @throws {UsageError} when the name is no transformer's.
 */
export function realPipeline(name: string): { pipeline: PipelineClass; models: RealModel[] } {
  if (!Object.hasOwn(TRANSFORMERS, name)) {
    const known = Object.keys(TRANSFORMERS).join(", ");
    throw new UsageError(`Cannot make a pipeline of ${name} as it must be a transformer, ${known}: it is none of them`);
  }
  const isAlpha = TRANSFORMERS[name].family === "alpha";
  const parts = [name, TEXT_ENCODER, isAlpha ? "sd-vae" : "sdxl-vae"];
  return { pipeline: isAlpha ? "PixArtAlphaPipeline" : "PixArtSigmaPipeline", models: parts.map(realModel) };
}
