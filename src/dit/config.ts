// The transformer's configuration, as diffusers writes it. In: JSON. Out: checked numbers, with the defaults PixArt needs.

import { ConfigError } from "../errors.ts";

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
  return {
    numAttentionHeads: heads,
    attentionHeadDim: headWidth,
    inChannels,
    outChannels,
    numLayers: count(config, "num_layers", 28),
    sampleSize,
    patchSize: count(config, "patch_size", 2),
    captionChannels: count(config, "caption_channels", 4096),
    attentionBias: (config.attention_bias ?? true) === true,
    normEps,
    interpolationScale: interpolation,
    // diffusers' rule for configs that do not say (REFERENCE C03).
    useAdditionalConditions: (config.use_additional_conditions ?? sampleSize === 128) === true,
  };
}
