// attendHalves: attention by a kernel that reads halves. Heads that are floats are cut out of their rows and packed one behind the
// other first. In: heads within rows. Out: what queries find, and the log sums of their weights.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { AttentionOptions, Heads, KeysValues } from "./attention_heads.ts";
import { type PackedShape, packHeads } from "./attention_pack.ts";
import type { AttentionVariant } from "./attention_variants.ts";
import type { FloatDType } from "./weight_kernels.ts";

/** Where heads of halves lie: head h of token t of sample b starts at offset + b sample + h head + t stride, in 8 halves. */
interface Place {
  tensor: Tensor;
  offset: number;
  sample: number;
  head: number;
  stride: number;
}

/** Heads of halves where they are, others packed. */
function placeOf(rec: Recorder, heads: Heads, shape: PackedShape): Place {
  if (heads.tensor.dtype === "f16") {
    const stride = heads.stride / 8;
    return {
      tensor: heads.tensor,
      offset: heads.offset / 8,
      sample: shape.tokens * stride,
      head: shape.headWidth / 8,
      stride,
    };
  }
  const stride = shape.depth / 8, head = shape.padded * stride;
  return { tensor: packHeads(rec, heads, shape), offset: 0, sample: shape.heads * head, head, stride };
}

/**
 * All queries over these keys.
 *
 * @param variant One that reads halves.
 * @param result [B, N, H D], f32 or f16, and [B, N, H] f32, where the result goes.
 */
export function attendHalves(
  rec: Recorder,
  q: Heads,
  { k, v, keys }: KeysValues,
  result: { y: Tensor; logSums: Tensor },
  options: Omit<AttentionOptions, "keys" | "variant"> & { variant: AttentionVariant },
): void {
  const { batch, heads, headWidth, queries, scale, mask, firstMasked = 0, relativeBias, variant } = options;
  const { depth } = variant.halves!;
  const workgroups = Math.ceil(queries / variant.queries);
  const extents = { batch, heads, headWidth, depth };
  const queryShape = { ...extents, tokens: queries, padded: workgroups * variant.queries };
  const keyShape = { ...extents, tokens: keys, padded: keys };
  using _scope = rec.scope();
  const [qs, ks, vs] = [placeOf(rec, q, queryShape), placeOf(rec, k, keyShape), placeOf(rec, v, keyShape)];
  const constants = { ...variant.constants, HAS_MASK: !!mask, HAS_BIAS: !!relativeBias };
  rec.dispatch(rec.device.kernel(variant.kernels[result.y.dtype as FloatDType]!, constants), {
    bindings: [qs.tensor, ks.tensor, vs.tensor, mask, relativeBias, result.y, result.logSums],
    params: {
      queries,
      keys,
      heads,
      quads: headWidth / 4,
      depth8: Math.ceil(headWidth / 8),
      first_sample: firstMasked,
      scale: scale * Math.LOG2E,
      q_offset: qs.offset,
      q_sample: qs.sample,
      q_head: qs.head,
      q_stride: qs.stride,
      k_offset: ks.offset,
      k_sample: ks.sample,
      k_head: ks.head,
      k_stride: ks.stride,
      v_offset: vs.offset,
      v_sample: vs.sample,
      v_head: vs.head,
      v_stride: vs.stride,
    },
    groups: [workgroups, heads * batch],
  });
}
