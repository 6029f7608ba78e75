// The configuration of a T5 encoder from its tensors, which tell all of it but what every T5 v1.1 has alike. In: a checkpoint under
// transformers' names. Out: the JSON that transformers would write; keys of a real config go before these.

import { ConfigError } from "../errors.ts";
import { describe, type WeightSource } from "../io/weights.ts";

/**
 * Guesses a config from the tensors.
 *
 * @throws {ConfigError} when a tensor that tells of it is missing.
 */
export function guessT5ConfigJson(source: WeightSource): Record<string, unknown> {
  const shapeOf = (...names: string[]): number[] => {
    const name = names.find((one) => source.has(one));
    const info = name === undefined ? undefined : source.info(name);
    if (info?.shape.length === 2) return info.shape;
    const state = info ? describe(info) : "it is missing";
    throw new ConfigError(
      `Cannot guess the text encoder's config of ${source.name} as ${names[0]} must have 2 axes: ${state}`,
    );
  };
  const attention = "encoder.block.0.layer.0.SelfAttention";
  const [vocabulary, width] = shapeOf("shared.weight", "encoder.embed_tokens.weight");
  const [buckets, heads] = shapeOf(`${attention}.relative_attention_bias.weight`);
  const [inner] = shapeOf(`${attention}.q.weight`);
  const [feedForward] = shapeOf("encoder.block.0.layer.1.DenseReluDense.wi_0.weight");
  const layers =
    source.names().filter((name) => /^encoder\.block\.\d+\.layer\.0\.layer_norm\.weight$/.test(name)).length;
  return {
    architectures: ["T5EncoderModel"],
    d_ff: feedForward,
    d_kv: inner / heads,
    d_model: width,
    dense_act_fn: "gelu_new",
    dropout_rate: 0.1,
    eos_token_id: 1,
    feed_forward_proj: "gated-gelu",
    initializer_factor: 1.0,
    is_encoder_decoder: true,
    is_gated_act: true,
    layer_norm_epsilon: 1e-6,
    model_type: "t5",
    num_decoder_layers: layers,
    num_heads: heads,
    num_layers: layers,
    pad_token_id: 0,
    relative_attention_max_distance: 128,
    relative_attention_num_buckets: buckets,
    tie_word_embeddings: false,
    use_cache: true,
    vocab_size: vocabulary,
  };
}
