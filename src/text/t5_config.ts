// The configuration of a T5 encoder, as transformers writes it. In: JSON. Out: checked numbers.

import { ConfigError } from "../errors.ts";

/** Extents of a T5 encoder; names are transformers' in camelCase. */
export interface T5Config {
  vocabSize: number;
  dModel: number;
  dKv: number;
  dFf: number;
  numLayers: number;
  numHeads: number;
  relativeAttentionNumBuckets: number;
  relativeAttentionMaxDistance: number;
  layerNormEpsilon: number;
}

function positive(json: Record<string, unknown>, key: string, fallback?: number): number {
  const value = json[key] ?? fallback;
  if (typeof value !== "number" || !(value > 0)) {
    throw new ConfigError(`Cannot read the text encoder's config as ${key} must be a positive number: ${value}`);
  }
  return value;
}

function whole(json: Record<string, unknown>, key: string, fallback?: number): number {
  const value = positive(json, key, fallback);
  if (!Number.isInteger(value)) {
    throw new ConfigError(`Cannot read the text encoder's config as ${key} must be whole: ${value}`);
  }
  return value;
}

/**
 * Reads a text encoder's `config.json`.
 *
 * @throws {ConfigError} naming the key whose value this network does not have.
 */
export function parseT5Config(json: unknown): T5Config {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError(`Cannot read the text encoder's config as it must be a JSON object: ${JSON.stringify(json)}`);
  }
  const config = json as Record<string, unknown>;
  const type = config.model_type ?? "t5";
  if (type !== "t5") {
    throw new ConfigError(`Cannot read the text encoder's config as model_type must be t5: ${type}`);
  }
  const feedForward = config.feed_forward_proj ?? "gated-gelu";
  if (feedForward !== "gated-gelu") {
    throw new ConfigError(
      `Cannot read the text encoder's config as feed_forward_proj must be gated-gelu (T5 v1.1): ${feedForward}`,
    );
  }
  const activation = config.dense_act_fn ?? "gelu_new";
  if (activation !== "gelu_new") {
    throw new ConfigError(`Cannot read the text encoder's config as dense_act_fn must be gelu_new: ${activation}`);
  }
  const dKv = whole(config, "d_kv");
  if (dKv % 4 !== 0) {
    throw new ConfigError(`Cannot read the text encoder's config as d_kv must divide by 4: ${dKv}`);
  }
  return {
    vocabSize: whole(config, "vocab_size"),
    dModel: whole(config, "d_model"),
    dKv,
    dFf: whole(config, "d_ff"),
    numLayers: whole(config, "num_layers"),
    numHeads: whole(config, "num_heads"),
    relativeAttentionNumBuckets: whole(config, "relative_attention_num_buckets", 32),
    relativeAttentionMaxDistance: whole(config, "relative_attention_max_distance", 128),
    layerNormEpsilon: positive(config, "layer_norm_epsilon", 1e-6),
  };
}
