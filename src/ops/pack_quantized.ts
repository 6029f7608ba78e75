// packQuantized: floats of a checkpoint to small integers in blocks, on the GPU.

import checkpointFloats from "../../shaders/checkpoint_floats.wgsl" with { type: "text" };
import halfBits from "../../shaders/half_bits.wgsl" with { type: "text" };
import source from "../../shaders/pack_quantized.wgsl" with { type: "text" };
import values from "../../shaders/pack_values.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Kernel } from "../gpu/kernel.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { BlockWeight } from "./block_weight.ts";
import { type FiniteCheck, type SourceDType, SOURCES, uncheckedIn } from "./pack_weight.ts";

const KERNEL = { name: "pack_quantized", source, shared: [checkpointFloats, halfBits, values] };

/** Which rows of a weight are given, and where they go. */
export interface PackQuantizedOptions {
  sourceDType: SourceDType;
  /** Rows (output features) in `raw`: all of them or a slice; every slice but the last holds a multiple of 4. */
  rows: number;
  out: BlockWeight;
  /** The column of `out` that the first row becomes; a multiple of 4. */
  columnOffset?: number;
  check?: FiniteCheck;
}

/**
 * Runs a kernel that makes columns of a weight in blocks out of rows.
 *
 * @param what The rows, for the message.
 * @returns `out`.
 * @throws {ShapeError} when it cannot take the rows.
 */
export function packIntoBlocks(
  rec: Recorder,
  kernel: Kernel,
  raw: Tensor,
  what: string,
  { rows, out, columnOffset = 0, check = uncheckedIn(rec) }: Omit<PackQuantizedOptions, "sourceDType">,
): BlockWeight {
  const [depth, columns] = out.shape;
  const { blockLength, hasMinimum } = out.format;
  if (columnOffset < 0 || columnOffset % 4 !== 0 || columnOffset + rows > columns) {
    throw new ShapeError(`Cannot pack ${what} at column ${columnOffset} as it must be a multiple of 4 of ${out}`);
  }
  rec.dispatch(kernel, {
    bindings: [raw, out.values, out.scales, check.flags],
    params: {
      rows,
      depth,
      columns4: columns / 4,
      offset: columnOffset,
      with_minimum: hasMinimum ? 1 : 0,
      tensor: check.index,
    },
    groups: [Math.ceil(rows / 32), Math.ceil(depth / blockLength / 8)],
  });
  return out;
}

/**
 * Quantizes rows of a checkpoint's weight to columns of one in blocks, symmetrically: 8 bits to the nearest of 255 steps, 4 bits to
 * the nearest of 16 whose width is searched for the least squared error. Columns up to the next multiple of 4 become zero.
 *
 * @param raw u32 words that hold [rows, K] of `sourceDType`, the first element in the lowest bits.
 * @returns `out`.
 * @throws {ShapeError} when `raw` is too short, or `out` cannot take the rows.
 */
export function packQuantized(rec: Recorder, raw: Tensor, options: PackQuantizedOptions): BlockWeight {
  const { sourceDType, rows, out } = options;
  const [depth] = out.shape;
  const { dtype, blockLength } = out.format;
  const what = `rows [${rows}, ${depth}] of ${sourceDType}`;
  const words = Math.ceil(rows * depth * (sourceDType === "f32" ? 1 : 0.5));
  if (raw.dtype !== "u32" || raw.size < words) {
    throw new ShapeError(`Cannot pack ${what} as they must lie in ${words} words: ${raw}`);
  }
  const constants = { SOURCE: SOURCES[sourceDType], BITS: dtype === "int8" ? 8 : 4, BLOCK: blockLength };
  return packIntoBlocks(rec, rec.device.kernel(KERNEL, constants), raw, what, options);
}
