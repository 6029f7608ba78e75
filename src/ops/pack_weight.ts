// packWeight: bytes of a checkpoint to the layout that the matmul and convolution kernels read, on the GPU.

import checkpointFloats from "../../shaders/checkpoint_floats.wgsl" with { type: "text" };
import halfBits from "../../shaders/half_bits.wgsl" with { type: "text" };
import source from "../../shaders/pack_weight.wgsl" with { type: "text" };
import wideSource from "../../shaders/pack_weight_wide.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "pack_weight", source, shared: [halfBits] };
const WIDE = { name: "pack_weight_wide", source: wideSource, shared: [checkpointFloats, halfBits] };

/** Types of floats that weights have in checkpoints, as the kernels number them. */
export const SOURCES = { f32: 0, f16: 1, bf16: 2 } as const;

/** Types of floats that weights have in checkpoints. */
export type SourceDType = keyof typeof SOURCES;

/** Where it is noted that a tensor holds numbers that are not finite: word `index` of u32 `flags` becomes 1. */
export interface FiniteCheck {
  flags: Tensor;
  index: number;
}

/** A check whose outcome nobody reads, for kernels that always make one. */
export function uncheckedIn(rec: Recorder): FiniteCheck {
  return { flags: rec.tensor([1], "u32"), index: 0 };
}

/** Which rows of a weight are given, and where they go. */
export interface PackWeightOptions {
  sourceDType: SourceDType;
  /** Rows (output features) in `raw`: all of them or a slice; every slice but the last holds a multiple of 4. */
  rows: number;
  inFeatures: number;
  /** Kernel height times width of a convolution; 1 for a linear layer. */
  taps?: number;
  /** [taps * inFeatures, columns] f32 or f16, columns a multiple of 4. */
  out: Tensor;
  /** The column of `out` that the first row becomes. Columns on its left in the same group of 4 stay as they are. */
  columnOffset?: number;
  /** Notes numbers that are not finite as the type of `out`. */
  check?: FiniteCheck;
}

/**
 * Writes rows of a checkpoint's weight as columns of a packed one. Columns up to the next multiple of 4 become zero. Types
 * change exactly where they can, and else round to the nearest, ties to even.
 *
 * @param raw u32 words that hold [rows, inFeatures, taps] of `sourceDType`, the first element in the lowest bits.
 * @returns `out`.
 * @throws {ShapeError} when `raw` is too short, or `out` cannot take the rows.
 */
export function packWeight(rec: Recorder, raw: Tensor, options: PackWeightOptions): Tensor {
  const { sourceDType, rows, inFeatures, taps = 1, out, columnOffset = 0, check = uncheckedIn(rec) } = options;
  const k = taps * inFeatures;
  const what = `rows [${rows}, ${inFeatures}, ${taps}] of ${sourceDType}`;
  const words = Math.ceil(rows * k * (sourceDType === "f32" ? 1 : 0.5));
  if (raw.dtype !== "u32" || raw.size < words) {
    throw new ShapeError(`Cannot pack ${what} as they must lie in ${words} words: ${raw}`);
  }
  if ((out.dtype !== "f32" && out.dtype !== "f16") || out.shape.length !== 2) {
    throw new ShapeError(`Cannot pack ${what} as the result must be a matrix of f32 or f16: ${out}`);
  }
  if (out.shape[0] !== k || out.shape[1] % 4 !== 0 || columnOffset < 0 || columnOffset + rows > out.shape[1]) {
    throw new ShapeError(
      `Cannot pack ${what} at column ${columnOffset} as the result must be [${k}, a multiple of 4 that holds them]: ${out}`,
    );
  }
  const constants = { SOURCE: SOURCES[sourceDType], TO_HALF: out.dtype === "f16" };
  if (taps === 1 && inFeatures % 4 === 0 && columnOffset % 4 === 0) {
    rec.dispatch(rec.device.kernel(WIDE, constants), {
      bindings: [raw, out, check.flags],
      params: { rows, depth: k, columns4: out.shape[1] / 4, offset: columnOffset, tensor: check.index },
      groups: [Math.ceil(rows / 32), Math.ceil(k / 32)],
    });
    return out;
  }
  const first = Math.floor(columnOffset / 4);
  const end = Math.ceil((columnOffset + rows) / 4);
  rec.dispatch(rec.device.kernel(KERNEL, constants), {
    bindings: [raw, out, check.flags],
    params: { rows, in_features: inFeatures, taps, columns: out.shape[1], offset: columnOffset, tensor: check.index },
    groups: [Math.ceil((end - first) / 8), Math.ceil(k / 8)],
  });
  return out;
}
