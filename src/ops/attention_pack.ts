// packHeads: heads of floats as halves, one behind the other. In: heads within rows of floats. Out: rows of halves, a head at a time.

import packSource from "../../shaders/attention_pack.wgsl" with { type: "text" };
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Heads } from "./attention_heads.ts";

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
 * Packs heads of floats.
 *
 * @returns [B, H, padded, depth] f16 in the recorder's scope.
 */
export function packHeads(rec: Recorder, { tensor, stride, offset }: Heads, shape: PackedShape): Tensor {
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
    },
    groups: linearGroups(Math.ceil(count / 256)),
  });
  return y;
}
