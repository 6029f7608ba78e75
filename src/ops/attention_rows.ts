// attentionByRows: attention as two matmuls over some rows of scores at a time. For one wide head, as the VAE has it, where a
// kernel that keeps its sums in registers would hold too few queries to be fast. The scores of all queries never exist at once.

import softmaxSource from "../../shaders/attention_softmax.wgsl" with { type: "text" };
import transposeSource from "../../shaders/attention_transpose.wgsl" with { type: "text" };
import workgroupMax from "../../shaders/workgroup_max.wgsl" with { type: "text" };
import subgroupMax from "../../shaders/workgroup_max_subgroup.wgsl" with { type: "text" };
import workgroupSum from "../../shaders/workgroup_sum.wgsl" with { type: "text" };
import subgroupSum from "../../shaders/workgroup_sum_subgroup.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Kernel, KernelSource } from "../gpu/kernel.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { AttentionOptions } from "./attention_heads.ts";
import { packHeads } from "./attention_pack.ts";
import { matmul, takesHalves } from "./matmul.ts";
import { halvesStride } from "./pack_halves.ts";
import { type FloatDType, forWeights } from "./weight_kernels.ts";

const TRANSPOSE = forWeights({ name: "attention_transpose", source: transposeSource });
const SOFTMAX: KernelSource = { name: "attention_softmax", source: softmaxSource };
const PORTABLE_SOFTMAX = forWeights({ ...SOFTMAX, shared: [workgroupMax, workgroupSum] });
const SUBGROUP_SOFTMAX = forWeights({ ...SOFTMAX, shared: [subgroupMax, subgroupSum], features: ["subgroups"] });

/** One head a sample; q, k and v are dense rows. */
export interface RowsOptions extends
  Pick<
    AttentionOptions,
    "batch" | "headWidth" | "queries" | "keys" | "scale" | "mask" | "firstMasked" | "halves"
  > {
  /** Rows of scores that exist at once, a multiple of 64; as many as a device has room for when not given. */
  rows?: number;
}

/** The softmax that suits a device. A GPU wants several subgroups a row, a CPU one. */
function softmaxFor(device: Device, dtype: FloatDType): Kernel {
  return device.subgroupSize === 8
    ? device.kernel(SUBGROUP_SOFTMAX[dtype], { WORKERS: 8 })
    : device.kernel(PORTABLE_SOFTMAX[dtype], { WORKERS: 256 });
}

/** Rows of scores that exist at once: 16 MiB of them on a CPU, 128 on a GPU, which wants large products. */
function rowsAtOnce(device: Device, width: number): number {
  const bytes = Math.min(device.software ? 16 << 20 : 128 << 20, device.limits.maxStorageBufferBindingSize);
  return Math.min(Math.max(64, Math.floor(bytes / 4 / width / 64) * 64), 32768);
}

/**
 * Attention with one head.
 *
 * @param q [B, N, D] f32.
 * @param k [B, Nk, D] f32.
 * @param v [B, Nk, D] f32.
 * @param y [B, N, D] f32, where the result goes.
 * @throws {ShapeError} when keys do not come in fours and may not be halves.
 */
export function attentionByRows(rec: Recorder, q: Tensor, k: Tensor, v: Tensor, y: Tensor, options: RowsOptions): void {
  const { batch, headWidth: D, queries, keys, scale, mask, firstMasked = 0, halves = false } = options;
  const { device } = rec;
  const dtype = halves ? "f16" : "f32";
  if (keys % 4 !== 0 && !halves) throw new ShapeError(`Cannot attend by rows as keys must come in fours: ${keys}`);
  const padded = halves ? halvesStride(keys) : keys;
  using _scope = rec.scope();
  const turned = rec.tensor([D, padded], dtype);
  // Whole tiles of the matmul, which also start on the alignment of bindings.
  const step = Math.min(queries, options.rows ?? rowsAtOnce(device, padded));
  const scores = rec.tensor([step, padded]);
  for (let sample = 0; sample < batch; sample++) {
    using _sample = rec.scope();
    const dense = (tensor: Tensor) => tensor.view([keys, D], sample * keys * D);
    rec.dispatch(device.kernel(TRANSPOSE[dtype]), {
      bindings: [dense(k), turned],
      params: { keys, width: D, padded4: padded / 4 },
      groups: linearGroups(Math.ceil(D * padded / 4 / 64)),
    });
    // Keys behind the last weigh nothing, and have zeros as values.
    const extents = { batch: 1, heads: 1, headWidth: D, tokens: keys, padded, depth: D };
    const values = halves
      ? packHeads(rec, { tensor: dense(v), stride: D, offset: 0 }, extents).view([padded, D])
      : dense(v);
    const weighed = takesHalves(device, step, values, [D]) ? "f16" : "f32";
    const weights = rec.tensor([step, padded], weighed);
    for (let first = 0; first < queries; first += step) {
      const rows = Math.min(step, queries - first);
      const start = (sample * queries + first) * D;
      const [part, shares] = [scores.view([rows, padded]), weights.view([rows, padded])];
      matmul(rec, q.view([rows, D], start), turned, { out: part });
      const offset = (firstMasked + sample) * keys;
      rec.dispatch(softmaxFor(device, weighed), {
        bindings: [part, mask, shares],
        params: { rows, keys, quads: padded / 4, scale, masked: mask ? 1 : 0, mask_offset: offset },
        groups: linearGroups(rows),
      });
      matmul(rec, shares, values, { out: y.view([rows, D], start) });
    }
  }
}
