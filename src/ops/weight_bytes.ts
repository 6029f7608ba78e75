// What a weight takes on the GPU, before it is there. In: its shape and how it is kept. Out: bytes.

import { BLOCK_FORMATS, type BlockFormat } from "./block_weight.ts";
import { isFloatDType, type WeightDType } from "./weight_kernels.ts";

const BITS: Record<WeightDType, number> = { f32: 32, f16: 16, int8: 8, int4: 4 };

/**
 * The bytes of a weight [rows, columns] as the matmul reads it: columns in fours, and with integers a half for each block's scale, and one for
 * its minimum if there are any.
 *
 * @example
 * ```ts
 * import { weightBytes } from "./weight_bytes.ts";
 * console.assert(weightBytes(64, 6, "f16") === 64 * 8 * 2);
 * ```
 */
export function weightBytes(rows: number, columns: number, kept: WeightDType | BlockFormat): number {
  const padded = Math.ceil(columns / 4) * 4;
  if (typeof kept === "string") {
    return isFloatDType(kept) ? rows * padded * BITS[kept] / 8 : weightBytes(rows, columns, BLOCK_FORMATS[kept]);
  }
  const halves = Math.ceil(rows / kept.blockLength) * padded * (kept.hasMinimum ? 2 : 1);
  return rows * padded * BITS[kept.dtype] / 8 + halves * 2;
}
