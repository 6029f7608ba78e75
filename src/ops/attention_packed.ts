// attendPacked: attention by a kernel that reads halves: heads are cut out of their rows and packed one behind the other first.
// In: heads within rows of floats. Out: what queries find, and the log sums of their weights.

import packSource from "../../shaders/attention_pack.wgsl" with { type: "text" };
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { AttentionOptions, Heads, KeysValues } from "./attention.ts";
import type { AttentionVariant } from "./attention_variants.ts";

const PACK = { name: "attention_pack", source: packSource };

/** The extents of heads to pack. */
export interface PackedShape {
  batch: number;
  heads: number;
  headWidth: number;
  tokens: number;
  /** Tokens of a packed head, with zeros behind. */
  padded: number;
  /** Halves of a packed token, a multiple of 8, with zeros behind. */
  depth: number;
}

/**
 * Packs heads, times a factor.
 *
 * @returns [B, H, padded, depth] f16 in the recorder's scope.
 */
export function packHeads(rec: Recorder, { tensor, stride, offset }: Heads, shape: PackedShape, scale: number): Tensor {
  const { batch, heads, headWidth, tokens, padded, depth } = shape;
  const y = rec.tensor([batch, heads, padded, depth], "f16");
  const count = y.size / 8;
  rec.dispatch(rec.device.kernel(PACK), {
    bindings: [tensor, y],
    params: {
      tokens,
      padded,
      heads,
      quads: headWidth / 4,
      depth8: depth / 8,
      stride: stride / 4,
      offset: offset / 4,
      count,
      scale,
    },
    groups: linearGroups(Math.ceil(count / 256)),
  });
  return y;
}

/**
 * All queries over these keys.
 *
 * @param variant One that reads packed halves.
 * @param result [B, N, H D] and [B, N, H], where the result goes.
 */
export function attendPacked(
  rec: Recorder,
  q: Heads,
  { k, v, keys }: KeysValues,
  result: { y: Tensor; logSums: Tensor },
  options: Omit<AttentionOptions, "keys" | "variant"> & { variant: AttentionVariant },
): void {
  const { batch, heads, headWidth, queries, scale, mask, firstMasked = 0, relativeBias, variant } = options;
  const { depth, keys: block } = variant.packed!;
  const paddedQueries = Math.ceil(queries / variant.queries) * variant.queries;
  const paddedKeys = Math.ceil(keys / block) * block;
  const extents = { batch, heads, headWidth, depth };
  const [queryShape, keyShape] = [
    { ...extents, tokens: queries, padded: paddedQueries },
    { ...extents, tokens: keys, padded: paddedKeys },
  ];
  using _scope = rec.scope();
  // Scores are in units of log 2.
  const packed = [
    packHeads(rec, q, queryShape, scale * Math.LOG2E),
    packHeads(rec, k, keyShape, 1),
    packHeads(rec, v, keyShape, 1),
  ];
  const constants = { ...variant.constants, HAS_MASK: !!mask, HAS_BIAS: !!relativeBias };
  rec.dispatch(rec.device.kernel(variant.kernel, constants), {
    bindings: [...packed, mask, relativeBias, result.y, result.logSums],
    params: {
      queries,
      keys,
      heads,
      quads: headWidth / 4,
      padded_queries: paddedQueries,
      padded_keys: paddedKeys,
      first_sample: firstMasked,
    },
    groups: [paddedQueries / variant.queries, heads * batch],
  });
}
