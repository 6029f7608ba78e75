// packBlocks: ggml's blocks, as GGUF files store them, to the layout that the matmul kernels read, on the GPU and without decoding.

import source from "../../shaders/pack_blocks.wgsl" with { type: "text" };
import values from "../../shaders/pack_values.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { BLOCK_OF, type QuantType } from "../io/gguf_blocks.ts";
import { type BlockWeight, FORMAT_OF } from "./block_weight.ts";
import { GGML_SHARED, ggmlConstants } from "./ggml_kernels.ts";
import { packIntoBlocks } from "./pack_quantized.ts";
import type { FiniteCheck } from "./pack_weight.ts";

const KERNEL = { name: "pack_blocks", source, shared: [...GGML_SHARED, values] };

/** Which rows of a weight are given, and where they go. */
export interface PackBlocksOptions {
  kind: QuantType;
  /** Rows (output features) in `raw`: all of them or a slice; every slice but the last holds a multiple of 4. */
  rows: number;
  /** Of the format that takes this kind. */
  out: BlockWeight;
  /** The column of `out` that the first row becomes; a multiple of 4. */
  columnOffset?: number;
  check?: FiniteCheck;
}

/**
 * Moves rows of blocks to columns of a weight in blocks. The numbers stay the same; of the kinds that have a scale of scales (Q2_K to
 * Q6_K), the product of the two is rounded to a half.
 *
 * @param raw u32 words that hold [rows, K] in blocks, the first byte in the lowest bits.
 * @returns `out`.
 * @throws {ShapeError} when `raw` is too short, or `out` cannot take the rows.
 */
export function packBlocks(rec: Recorder, raw: Tensor, options: PackBlocksOptions): BlockWeight {
  const { kind, rows, out } = options;
  const [depth] = out.shape;
  const { elements, bytes } = BLOCK_OF[kind];
  const what = `rows [${rows}, ${depth}] of ${kind}`;
  const words = Math.ceil(rows * depth / elements * bytes / 4);
  if (raw.dtype !== "u32" || raw.size < words || depth % elements !== 0) {
    throw new ShapeError(`Cannot pack ${what} as rows must be whole blocks in ${words} words: ${raw}`);
  }
  if (out.format !== FORMAT_OF[kind]) {
    throw new ShapeError(`Cannot pack ${what} as ${out} must be of the format that takes them: it is of another`);
  }
  const constants = { ...ggmlConstants(kind), BITS: out.dtype === "int8" ? 8 : 4 };
  return packIntoBlocks(rec, rec.device.kernel(KERNEL, constants), raw, what, options);
}
