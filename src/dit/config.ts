// The transformer's configuration, as diffusers writes it. In: JSON. Out: checked numbers, with the defaults PixArt needs.

import { ConfigError } from "../errors.ts";

/** Keys and values of fewer tokens, in some layers (the paper's KV token compression). */
export interface KvCompression {
  /** By a learned depthwise convolution, by picking from the grid (`ave` and `uniform`), or in reading order. */
  sampling: "conv" | "ave" | "uniform" | "uniform_every";
  /** Tokens along an axis become this many times fewer. */
  scaleFactor: number;
  /** Blocks that compress, from 0. */
  layers: readonly number[];
}

/** Extents and options of a PixArt transformer; names are diffusers' in camelCase. */
export interface TransformerConfig {
  numAttentionHeads: number;
  attentionHeadDim: number;
  inChannels: number;
  /** 8 with a learned variance (PixArt's checkpoints), 4 without. */
  outChannels: number;
  numLayers: number;
  /** Latent pixels a side that the checkpoint was trained for. */
  sampleSize: number;
  patchSize: number;
  captionChannels: number;
  attentionBias: boolean;
  normEps: number;
  /** Divides positions, so that larger grids keep the range of smaller ones (REFERENCE: PixArt-Σ, position interpolation). */
  interpolationScale: number;
  /** Whether the resolution and the aspect ratio condition the time embedding: PixArt-α 1024 only. */
  useAdditionalConditions: boolean;
  /** Whether queries and keys of the self-attention are normalised. diffusers' network cannot; our key is `qk_norm`. */
  qkNorm: boolean;
  /** diffusers' network cannot; our key is the original's, `kv_compress_config`. */
  kvCompression?: KvCompression;
}

type Json = Record<string, unknown>;

function count(json: Json, key: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1) {
    throw new ConfigError(`Cannot read the transformer's config as ${key} must be a positive whole number: ${value}`);
  }
  return value;
}

function mustBe(json: Json, key: string, allowed: unknown[]): void {
  const value = json[key];
  if (value !== undefined && !allowed.includes(value)) {
    throw new ConfigError(`Cannot read the transformer's config as ${key} must be ${allowed.join(" or ")}: ${value}`);
  }
}

const SAMPLINGS = ["conv", "ave", "uniform", "uniform_every"];

/** Reads the original's `kv_compress_config`; nothing when no layer compresses. */
function kvCompression(value: unknown, layerCount: number): KvCompression | undefined {
  if (value === undefined || value === null) return undefined;
  const wrong = (rule: string, found: unknown) => {
    const shown = JSON.stringify(found);
    return new ConfigError(`Cannot read the transformer's config as kv_compress_config ${rule}: ${shown}`);
  };
  if (typeof value !== "object" || Array.isArray(value)) throw wrong("must be an object or null", value);
  const { sampling = null, scale_factor: scaleFactor = 1, kv_compress_layer: layers = [] } = value as Json;
  if (!Array.isArray(layers) || layers.some((i) => !Number.isInteger(i) || i < 0 || i >= layerCount)) {
    throw wrong(`must list blocks below ${layerCount}`, layers);
  }
  if (sampling === null || scaleFactor === 1 || layers.length === 0) return undefined;
  if (!SAMPLINGS.includes(sampling as string)) throw wrong(`must sample by ${SAMPLINGS.join(", ")}`, sampling);
  if (typeof scaleFactor !== "number" || !Number.isInteger(scaleFactor) || scaleFactor < 1) {
    throw wrong("must have a whole scale_factor", scaleFactor);
  }
  return { sampling: sampling as KvCompression["sampling"], scaleFactor, layers };
}

/**
 * Reads a transformer's `config.json`.
 *
 * @throws {ConfigError} naming the key whose value this network does not have.
 */
export function parseTransformerConfig(json: unknown): TransformerConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError(`Cannot read the transformer's config as it must be a JSON object: ${JSON.stringify(json)}`);
  }
  const config = json as Json;
  mustBe(config, "_class_name", ["PixArtTransformer2DModel", "Transformer2DModel"]);
  mustBe(config, "norm_type", ["ada_norm_single"]);
  mustBe(config, "activation_fn", ["gelu-approximate"]);
  mustBe(config, "norm_elementwise_affine", [false]);
  mustBe(config, "attention_type", ["default"]);
  const heads = count(config, "num_attention_heads", 16);
  const headWidth = count(config, "attention_head_dim", 72);
  const inChannels = count(config, "in_channels", 4);
  const sampleSize = count(config, "sample_size", 128);
  const width = heads * headWidth;
  if (count(config, "cross_attention_dim", width) !== width) {
    throw new ConfigError(
      `Cannot read the transformer's config as cross_attention_dim must be heads times head width, ${width}: ` +
        `${config.cross_attention_dim}`,
    );
  }
  if (headWidth % 4 !== 0) {
    throw new ConfigError(`Cannot read the transformer's config as attention_head_dim must divide by 4: ${headWidth}`);
  }
  const outChannels = count(config, "out_channels", 2 * inChannels);
  if (outChannels !== inChannels && outChannels !== 2 * inChannels) {
    throw new ConfigError(
      `Cannot read the transformer's config as out_channels must be in_channels or twice that: ${outChannels}`,
    );
  }
  const interpolation = config.interpolation_scale ?? Math.max(Math.floor(sampleSize / 64), 1);
  if (typeof interpolation !== "number" || !(interpolation > 0)) {
    throw new ConfigError(
      `Cannot read the transformer's config as interpolation_scale must be above 0: ${interpolation}`,
    );
  }
  const normEps = config.norm_eps ?? 1e-6;
  if (typeof normEps !== "number" || !(normEps > 0)) {
    throw new ConfigError(`Cannot read the transformer's config as norm_eps must be above 0: ${normEps}`);
  }
  const numLayers = count(config, "num_layers", 28);
  return {
    numAttentionHeads: heads,
    attentionHeadDim: headWidth,
    inChannels,
    outChannels,
    numLayers,
    sampleSize,
    patchSize: count(config, "patch_size", 2),
    captionChannels: count(config, "caption_channels", 4096),
    attentionBias: (config.attention_bias ?? true) === true,
    normEps,
    interpolationScale: interpolation,
    // diffusers' rule for configs that do not say (REFERENCE C03).
    useAdditionalConditions: (config.use_additional_conditions ?? sampleSize === 128) === true,
    qkNorm: config.qk_norm === true,
    kvCompression: kvCompression(config.kv_compress_config, numLayers),
  };
}

/**
 * Turns the original repository's constructor arguments into the config of the same network.
 *
 * @param json `{ class: "PixArtMS" | "PixArt", hidden_size, num_heads, depth, input_size, ... }`; the defaults are the original's.
 * @throws {ConfigError} naming the key whose value this network does not have.
 */
export function parseOriginalConfig(json: unknown): TransformerConfig {
  const original = (typeof json === "object" && json !== null ? json : {}) as Json;
  mustBe(original, "class", ["PixArtMS", "PixArt"]);
  mustBe(original, "mlp_ratio", [4, 4.0]);
  const width = count(original, "hidden_size", 1152);
  const heads = count(original, "num_heads", 16);
  if (width % heads !== 0) {
    throw new ConfigError(`Cannot read the original's config as num_heads must divide hidden_size ${width}: ${heads}`);
  }
  const inChannels = count(original, "in_channels", 4);
  return parseTransformerConfig({
    num_attention_heads: heads,
    attention_head_dim: width / heads,
    in_channels: inChannels,
    out_channels: original.pred_sigma === false ? inChannels : 2 * inChannels,
    num_layers: count(original, "depth", 28),
    sample_size: count(original, "input_size", 32),
    patch_size: count(original, "patch_size", 2),
    caption_channels: count(original, "caption_channels", 4096),
    interpolation_scale: original.pe_interpolation ?? 1,
    use_additional_conditions: original.micro_condition === true,
    qk_norm: original.qk_norm,
    kv_compress_config: original.kv_compress_config,
  });
}
