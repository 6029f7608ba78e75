// The configuration of a transformer whose config is missing. In: its tensors, and what the user says of it. Out: the config, or an
// error that names the option to say what no tensor tells: the picture's size, mostly, since weights have it only in a buffer.

import { ConfigError } from "../errors.ts";
import { asDiffusers, isOriginal } from "../io/original_names.ts";
import { describe, readFloats, type WeightSource } from "../io/weights.ts";
import { type KvCompression, parseTransformerConfig, type TransformerConfig } from "./config.ts";

/** What a user can say of a network whose config is missing. */
export interface TransformerHints {
  /** Pixels a side of the pictures that it was trained for. */
  imageSize?: number;
  /** Whether it is a PixArt-α or a PixArt-Σ, which differ in how they scale positions. */
  family?: "alpha" | "sigma";
  /** Attention heads. */
  heads?: number;
}

const PIXELS_PER_LATENT = 8;
const USUAL_HEAD_WIDTH = 72;
/** Caption tokens of Σ, which is the length of the buffer that holds its null caption. */
const SIGMA_TOKENS = 300;

/** Positions are divided by this in the released checkpoints (REFERENCE P03); α below 1024 pixels does not interpolate. */
function releasedInterpolation(family: "alpha" | "sigma", imageSize: number): number {
  return family === "sigma" ? imageSize / 512 : Math.max(Math.floor(imageSize / 512), 1);
}

function ask(source: WeightSource, what: string, state: string, option: string): ConfigError {
  return new ConfigError(
    `Cannot load ${source.name} without a config as its ${what} must be known: ${state}; give ${option}`,
  );
}

/** The number of a block's tensors that match, by block. */
function blocksWith(source: WeightSource, suffix: string): number[] {
  const pattern = /^transformer_blocks\.(\d+)\.(.*)$/;
  return source.names().flatMap((name) => {
    const [, block, rest] = pattern.exec(name) ?? [];
    return rest === suffix ? [Number(block)] : [];
  }).sort((a, b) => a - b);
}

function compressionOf(source: WeightSource): KvCompression | undefined {
  const layers = blocksWith(source, "attn1.sr.weight");
  if (layers.length === 0) return undefined;
  const { shape } = source.info(`transformer_blocks.${layers[0]}.attn1.sr.weight`);
  return { sampling: "conv", scaleFactor: shape[2] ?? 1, layers };
}

/**
 * Guesses a config from the tensors.
 *
 * @param source The checkpoint under the original's or diffusers' names, without a prefix.
 * @throws {ConfigError} that names an option, when the tensors do not tell all.
 */
export async function guessTransformerConfig(
  source: WeightSource,
  hints: TransformerHints = {},
): Promise<TransformerConfig> {
  const named = isOriginal(source) ? asDiffusers(source) : source;
  const shapeOf = (name: string, rank: number): number[] => {
    const info = named.has(name) ? named.info(name) : undefined;
    if (info?.shape.length === rank) return info.shape;
    const state = info ? describe(info) : "it is missing";
    throw new ConfigError(`Cannot guess the config of ${source.name} as ${name} must have ${rank} axes: ${state}`);
  };
  const [, width] = shapeOf("scale_shift_table", 2);
  const [, inChannels, patchSize] = shapeOf("pos_embed.proj.weight", 4);
  const [outputs] = shapeOf("proj_out.weight", 2);
  const [, captionChannels] = shapeOf("caption_projection.linear_1.weight", 2);
  const blocks = blocksWith(named, "scale_shift_table");
  const heads = hints.heads ?? width / USUAL_HEAD_WIDTH;
  if (!Number.isInteger(heads)) {
    throw ask(source, "attention heads", `its width ${width} is not a multiple of ${USUAL_HEAD_WIDTH}`, "--heads");
  }
  const useAdditionalConditions = named.has("adaln_single.emb.resolution_embedder.linear_1.weight");
  const compression = compressionOf(named);
  const { sampleSize, interpolationScale } = await gridOf(source, hints, patchSize, useAdditionalConditions);
  return parseTransformerConfig({
    num_attention_heads: heads,
    attention_head_dim: width / heads,
    in_channels: inChannels,
    out_channels: outputs / patchSize ** 2,
    num_layers: blocks.length,
    sample_size: sampleSize,
    patch_size: patchSize,
    caption_channels: captionChannels,
    attention_bias: named.has("transformer_blocks.0.attn1.to_q.bias"),
    interpolation_scale: interpolationScale,
    use_additional_conditions: useAdditionalConditions,
    qk_norm: named.has("transformer_blocks.0.attn1.q_norm.weight"),
    kv_compress_config: compression &&
      {
        sampling: compression.sampling,
        scale_factor: compression.scaleFactor,
        kv_compress_layer: compression.layers,
      },
  });
}

/** What decides where the tokens of a picture are. */
interface PositionGrid {
  /** Latent pixels a side. */
  sampleSize: number;
  interpolationScale: number;
}

async function gridOf(
  source: WeightSource,
  hints: TransformerHints,
  patchSize: number,
  hasMicroConditions: boolean,
): Promise<PositionGrid> {
  const stored = await storedGrid(source, patchSize);
  const { imageSize } = hints;
  if (stored && (imageSize === undefined || imageSize === stored.sampleSize * PIXELS_PER_LATENT)) return stored;
  // Only α at 1024 pixels was released with size conditions.
  if (hasMicroConditions && imageSize === undefined) return { sampleSize: 128, interpolationScale: 2 };
  if (imageSize === undefined) {
    const state = "weights of 256, 512, 1024 and 2048 pixels look alike";
    throw ask(source, "picture size", state, "--image-size");
  }
  const tokens = source.has("y_embedder.y_embedding") ? source.info("y_embedder.y_embedding").shape[0] : undefined;
  const told = tokens === undefined ? undefined : tokens === SIGMA_TOKENS ? "sigma" : "alpha";
  const family = hints.family ?? (hasMicroConditions ? "alpha" : told);
  const [alpha, sigma] = [releasedInterpolation("alpha", imageSize), releasedInterpolation("sigma", imageSize)];
  if (family === undefined && alpha !== sigma) {
    throw ask(
      source,
      "family",
      `positions are divided by ${alpha} in α and by ${sigma} in Σ`,
      "--family alpha or sigma",
    );
  }
  return {
    sampleSize: imageSize / PIXELS_PER_LATENT,
    interpolationScale: family === "alpha" ? alpha : sigma,
  };
}

/**
 * The grid that the original's buffer `pos_embed` was made for. Its second token stands at 1 / interpolation along the first axis,
 * whose lowest frequency is 1: the sine is the first channel, the cosine comes a quarter of the channels later (REFERENCE P01).
 */
async function storedGrid(source: WeightSource, patchSize: number): Promise<PositionGrid | undefined> {
  const name = ["pos_embed", "pos_embed.pos_embed"].find((one) => source.has(one));
  if (name === undefined) return undefined;
  const { shape } = source.info(name);
  const [tokens, channels] = shape.slice(-2);
  const side = Math.sqrt(tokens);
  if (shape.length < 2 || !Number.isInteger(side) || side < 2) return undefined;
  const table = await readFloats(source, name);
  const position = Math.atan2(table[channels], table[channels + channels / 4]);
  // The buffer may be of 16 bits; scales are powers of two or close to.
  const scale = Math.round((1 / position) * 64) / 64;
  return Number.isFinite(scale) && scale > 0 ? { sampleSize: side * patchSize, interpolationScale: scale } : undefined;
}
