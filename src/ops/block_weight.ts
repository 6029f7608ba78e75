// A weight as small integers in blocks of neighbouring k that share a scale. In: its extents and its format. Out: memory on the GPU
// that the packing kernels fill and the matmul kernels read.

import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { formatShape, type Tensor } from "../gpu/tensor.ts";
import type { QuantType } from "../io/gguf_blocks.ts";

/** How the integers of a weight stand for numbers. */
export interface BlockFormat {
  dtype: "int8" | "int4";
  /** How many k share a scale; the last block may be shorter. */
  blockLength: 16 | 32;
  /** Whether w = scale * q + minimum, rather than scale * q. */
  hasMinimum: boolean;
}

const format = (dtype: BlockFormat["dtype"], blockLength: 16 | 32, hasMinimum: boolean): BlockFormat => ({
  dtype,
  blockLength,
  hasMinimum,
});

/** The formats that floats are quantized to. */
export const BLOCK_FORMATS = { int8: format("int8", 32, false), int4: format("int4", 32, false) } as const;

/** The format that takes ggml's blocks of each kind as they are. */
export const FORMAT_OF: Readonly<Record<QuantType, BlockFormat>> = {
  Q8_0: BLOCK_FORMATS.int8,
  Q5_0: BLOCK_FORMATS.int8,
  Q5_1: format("int8", 32, true),
  Q5_K: format("int8", 32, true),
  Q6_K: format("int8", 16, false),
  Q4_0: BLOCK_FORMATS.int4,
  Q4_1: format("int4", 32, true),
  Q4_K: format("int4", 32, true),
  Q3_K: format("int4", 16, false),
  Q2_K: format("int4", 16, true),
};

/** A weight [K, Np] in blocks along K. */
export class BlockWeight implements Disposable {
  readonly dtype: BlockFormat["dtype"];
  /** Words as matmul_int8.wgsl or matmul_int4.wgsl has them. */
  readonly values: Tensor;
  /** Words as matmul_blocks.wgsl has them. */
  readonly scales: Tensor;

  /**
   * @param shape K and Np, multiples of 4.
   * @throws {ShapeError} when they are not.
   */
  constructor(
    device: Device,
    readonly shape: readonly [number, number],
    readonly format: BlockFormat,
    label = "block weight",
  ) {
    const [depth, columns] = shape;
    if (depth % 4 !== 0 || columns % 4 !== 0) {
      throw new ShapeError(`Cannot keep a weight ${formatShape(shape)} in blocks as both extents must be fours`);
    }
    this.dtype = format.dtype;
    const words = depth * columns / (format.dtype === "int8" ? 4 : 8);
    const blocks = Math.ceil(depth / format.blockLength);
    this.values = device.tensor([words], "u32", label);
    this.scales = device.tensor([blocks, columns / 2 * (format.hasMinimum ? 2 : 1)], "u32", label);
  }

  /** Bytes on the GPU. */
  get bytes(): number {
    return this.values.bytes + this.scales.bytes;
  }

  /** Frees its memory. */
  dispose(): void {
    this.values.dispose();
    this.scales.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `${this.dtype}${formatShape(this.shape)}`;
  }
}
