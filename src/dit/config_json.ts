// The transformer's configuration as other programs read it. In: checked numbers. Out: the JSON of diffusers' `config.json`, or the
// arguments of the original repository's constructor.

import type { KvCompression, TransformerConfig } from "./config.ts";

type Json = Record<string, unknown>;

/** The original's `kv_compress_config`; null where nothing is compressed. */
function compressionJson(compression: KvCompression | undefined): Json | null {
  if (!compression) return null;
  const { sampling, scaleFactor, layers } = compression;
  return { sampling, scale_factor: scaleFactor, kv_compress_layer: layers };
}

/**
 * The config that diffusers loads. Where its network has no such thing, the keys `qk_norm` and `kv_compress_config` say so; they are
 * left out where there is nothing to say.
 */
export function transformerConfigJson(config: TransformerConfig): Json {
  const width = config.numAttentionHeads * config.attentionHeadDim;
  return {
    _class_name: "PixArtTransformer2DModel",
    activation_fn: "gelu-approximate",
    attention_bias: config.attentionBias,
    attention_head_dim: config.attentionHeadDim,
    attention_type: "default",
    caption_channels: config.captionChannels,
    cross_attention_dim: width,
    dropout: 0.0,
    in_channels: config.inChannels,
    interpolation_scale: config.interpolationScale,
    ...(config.kvCompression ? { kv_compress_config: compressionJson(config.kvCompression) } : {}),
    norm_elementwise_affine: false,
    norm_eps: config.normEps,
    norm_num_groups: 32,
    norm_type: "ada_norm_single",
    num_attention_heads: config.numAttentionHeads,
    num_embeds_ada_norm: 1000,
    num_layers: config.numLayers,
    out_channels: config.outChannels,
    patch_size: config.patchSize,
    ...(config.qkNorm ? { qk_norm: true } : {}),
    sample_size: config.sampleSize,
    upcast_attention: false,
    use_additional_conditions: config.useAdditionalConditions,
  };
}

/** The arguments of the original's `PixArtMS`, as `parseOriginalConfig` reads them. */
export function originalConfigJson(config: TransformerConfig): Json {
  return {
    class: "PixArtMS",
    hidden_size: config.numAttentionHeads * config.attentionHeadDim,
    num_heads: config.numAttentionHeads,
    depth: config.numLayers,
    input_size: config.sampleSize,
    in_channels: config.inChannels,
    pred_sigma: config.outChannels === 2 * config.inChannels,
    caption_channels: config.captionChannels,
    patch_size: config.patchSize,
    micro_condition: config.useAdditionalConditions,
    qk_norm: config.qkNorm,
    pe_interpolation: config.interpolationScale,
    kv_compress_config: compressionJson(config.kvCompression),
  };
}
