// The released networks with random weights. In: a device, a size. Out: models, with their extents.

import { autoencoderTensors, t5Tensors, transformerTensors } from "../../src/checkpoints/random_tensors.ts";
import { type RandomTensor, RandomWeights } from "../../src/checkpoints/random_weights.ts";
import { realModel } from "../../src/checkpoints/real_models.ts";
import type { TransformerConfig } from "../../src/dit/config.ts";
import { PixArtTransformer2DModel } from "../../src/dit/transformer.ts";
import type { Device } from "../../src/gpu/device.ts";
import { parseT5Config, type T5Config } from "../../src/text/t5_config.ts";
import { T5EncoderModel } from "../../src/text/t5_encoder.ts";
import { AutoencoderKL } from "../../src/vae/autoencoder.ts";
import { type AutoencoderConfig, parseAutoencoderConfig } from "../../src/vae/config.ts";

/** A network before any device has it. */
interface Blueprint<Config, Model> {
  config: Config;
  /** Bytes of its weights in halves. */
  bytes: number;
  open(device: Device): Promise<Model>;
}

const halvesOf = (tensors: readonly RandomTensor[]) =>
  tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 2), 0);

const weights = (tensors: readonly RandomTensor[]) => new RandomWeights("random weights", tensors, 1, "F16");

function transformerOf(config: TransformerConfig): Blueprint<TransformerConfig, PixArtTransformer2DModel> {
  const tensors = transformerTensors(config);
  return {
    config,
    bytes: halvesOf(tensors),
    open: (device) => PixArtTransformer2DModel.fromWeights(device, config, weights(tensors), { dtype: "f16" }),
  };
}

function releasedConfig(size: number): TransformerConfig {
  const { transformer: config } = realModel(`sigma-${size}`);
  if (!config) throw new Error(`sigma-${size} is no transformer`);
  return config;
}

/** PixArt-Σ XL/2 for pictures of so many pixels. */
export function transformer(size: number): Blueprint<TransformerConfig, PixArtTransformer2DModel> {
  return transformerOf(releasedConfig(size));
}

/** As many blocks as XL/2, 128 channels wide: all kernels take that width as they take XL/2's. */
export function narrowTransformer(): Blueprint<TransformerConfig, PixArtTransformer2DModel> {
  const config = releasedConfig(256);
  return transformerOf({ ...config, numAttentionHeads: 2, attentionHeadDim: 64, captionChannels: 64 });
}

/**
 * T5-XXL, with some of its 24 blocks, which are all alike.
 *
 * @param words Rows of its table of embeddings, which is nothing to measure.
 */
export function textEncoder(blocks: number, words: number): Blueprint<T5Config, T5EncoderModel> {
  const config = { ...parseT5Config({ ...realModel("t5-xxl").json, vocab_size: words }), numLayers: blocks };
  const tensors = t5Tensors(config);
  return {
    config,
    bytes: halvesOf(tensors),
    open: (device) => T5EncoderModel.fromWeights(device, config, weights(tensors), { dtype: "f16" }),
  };
}

/** SDXL's autoencoder; `bytes` are its decoder's. */
export function autoencoder(): Blueprint<AutoencoderConfig, AutoencoderKL> {
  const config = parseAutoencoderConfig(realModel("sdxl-vae").json);
  const tensors = autoencoderTensors(config);
  return {
    config,
    bytes: halvesOf(tensors.filter(({ name }) => name.startsWith("decoder."))),
    open: (device) => AutoencoderKL.fromWeights(device, config, weights(tensors), { dtype: "f16" }),
  };
}
