// The names that a T5 encoder is stored under: transformers', with something in front in files that hold more than it, and ggml's.
// In: a checkpoint in any of them. Out: the encoder's tensors under the names of transformers; a decoder is left out.

import { MappedWeights, wholeTensor } from "./mapped_weights.ts";
import { mapT5GgufNames } from "./t5_gguf_names.ts";
import { withoutPrefix } from "./weight_prefix.ts";
import type { WeightSource } from "./weights.ts";

/** Names that every T5 encoder has, as transformers and as ggml have them. */
export const T5_ANCHORS: readonly string[] = [
  "encoder.block.0.layer.0.SelfAttention.q.weight",
  "enc.blk.0.attn_q.weight",
];

const OF_DECODER = /^(decoder|lm_head)\./;

/**
 * Sees the checkpoint of a T5, whole or its encoder alone, as that of the encoder.
 *
 * @returns A source that is disposed with the given one.
 * @throws {WeightsError} when two tensors would have one name.
 */
export function mapT5Names(source: WeightSource): WeightSource {
  const bare = withoutPrefix(source, T5_ANCHORS);
  const named = bare.has(T5_ANCHORS[1]) ? mapT5GgufNames(bare) : bare;
  const own = named.names().filter((name) => !OF_DECODER.test(name));
  return new MappedWeights(named, new Map(own.map((name) => [name, wholeTensor(named, name)])));
}
