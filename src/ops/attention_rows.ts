// attentionByRows: attention as two matmuls over some rows of scores at a time. For one wide head, as the VAE has it, where a
// kernel that keeps its sums in registers would hold too few queries to be fast. The scores of all queries never exist at once.

import softmaxSource from "../../shaders/attention_softmax.wgsl" with { type: "text" };
import transposeSource from "../../shaders/attention_transpose.wgsl" with { type: "text" };
import type { KernelSource } from "../gpu/kernel.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { matmul } from "./matmul.ts";

const TRANSPOSE: KernelSource = { name: "attention_transpose", source: transposeSource };
const SOFTMAX: KernelSource = { name: "attention_softmax", source: softmaxSource, features: ["subgroups"] };

const SCORES = 4 << 20; // scores that exist at once: 16 MiB

/** One head a sample; q, k and v are dense rows. */
export interface RowsOptions {
  batch: number;
  headWidth: number;
  queries: number;
  keys: number;
  scale: number;
  /** [B, Nk] f32. */
  mask?: Tensor;
  /** Which sample of the mask the first one is; 0 when not given. */
  firstMasked?: number;
  /** Rows of scores that exist at once, a multiple of 64; what 16 MiB hold when not given. */
  rows?: number;
}

/**
 * Attention with one head, on devices whose subgroups have 8 lanes.
 *
 * @param q [B, N, D] f32.
 * @param k [B, Nk, D] f32.
 * @param v [B, Nk, D] f32.
 * @param y [B, N, D] f32, where the result goes.
 */
export function attentionByRows(rec: Recorder, q: Tensor, k: Tensor, v: Tensor, y: Tensor, options: RowsOptions): void {
  const { batch, headWidth: D, queries, keys, scale, mask, firstMasked = 0 } = options;
  const padded = Math.ceil(keys / 4) * 4;
  using _scope = rec.scope();
  const turned = rec.tensor([D, padded]);
  // Whole tiles of the matmul, which also start on the alignment of bindings.
  const step = Math.min(queries, options.rows ?? Math.min(Math.max(64, Math.floor(SCORES / keys / 64) * 64), 32768));
  const scores = rec.tensor([step, keys]);
  for (let sample = 0; sample < batch; sample++) {
    rec.dispatch(rec.device.kernel(TRANSPOSE), {
      bindings: [k.view([keys, D], sample * keys * D), turned],
      params: { keys, width: D, padded4: padded / 4 },
      groups: linearGroups(Math.ceil(D * padded / 4 / 64)),
    });
    const values = v.view([keys, D], sample * keys * D);
    for (let first = 0; first < queries; first += step) {
      const rows = Math.min(step, queries - first);
      const start = (sample * queries + first) * D;
      const part = scores.view([rows, keys]);
      matmul(rec, q.view([rows, D], start), turned, { columns: keys, out: part });
      rec.dispatch(rec.device.kernel(SOFTMAX), {
        bindings: [mask, part],
        params: { keys, scale, masked: mask ? 1 : 0, mask_offset: (firstMasked + sample) * keys },
        groups: [rows],
      });
      matmul(rec, part, values, { out: y.view([rows, D], start) });
    }
  }
}
