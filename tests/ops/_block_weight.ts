// Weights in blocks, back as floats: the definition of their layout in plain loops. And blocks of every kind, as files have them.

import type { Device } from "../../src/gpu/device.ts";
import { halfToFloat, readAll } from "../../src/gpu/readback.ts";
import { BLOCK_OF, dequantizeBlocks, type QuantType } from "../../src/io/gguf_blocks.ts";
import type { BlockWeight } from "../../src/ops/block_weight.ts";
import { numbers } from "../_reference.ts";

/** Integers of a block's four columns as they are added: scale * q + minimum. */
export interface UnpackedWeight {
  /** [K, Np] in doubles, rounded nowhere. */
  numbers: Float64Array;
  /** [blocks, Np] */
  scales: Float64Array;
}

/** Reads a weight back. */
export async function unpack(device: Device, weight: BlockWeight): Promise<UnpackedWeight> {
  const [values, scales] = await readAll(device, [weight.values, weight.scales]);
  const [depth, columns] = weight.shape;
  const { dtype, blockLength, hasMinimum } = weight.format;
  const half = (words: ArrayLike<number>, i: number) => halfToFloat((words[i >> 1] >>> (i % 2 * 16)) & 0xffff);
  const numbers = new Float64Array(depth * columns);
  const unpackedScales = new Float64Array(Math.ceil(depth / blockLength) * columns);
  for (let k = 0; k < depth; k++) {
    for (let n = 0; n < columns; n++) {
      const quad = Math.floor(k / 4) * (columns / 4) + Math.floor(n / 4);
      const block = Math.floor(k / blockLength) * (columns / 4) + Math.floor(n / 4);
      const scale = half(scales, block * (hasMinimum ? 8 : 4) + n % 4);
      const q = dtype === "int8"
        ? (values[quad * 4 + k % 4] << (24 - n % 4 * 8)) >> 24
        : (values[quad * 2 + Math.floor(k % 4 / 2)] >>> (k % 2 * 16 + n % 4 * 4)) & 15;
      const minimum = hasMinimum ? half(scales, block * 8 + 4 + n % 4) : dtype === "int4" ? -8 * scale : 0;
      numbers[k * columns + n] = scale * q + minimum;
      unpackedScales[Math.floor(k / blockLength) * columns + n] = scale;
    }
  }
  return { numbers, scales: unpackedScales };
}

/** Where the halves of a block's scales are. */
export const SCALES_AT: Readonly<Record<QuantType, readonly number[]>> = {
  Q8_0: [0],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q4_0: [0],
  Q4_1: [0, 2],
  Q2_K: [80, 82],
  Q3_K: [108],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};

/**
 * Blocks of random bits.
 *
 * @param scaleOf The scale, or minimum, of a block; `i` counts the two.
 */
export function randomBlocks(
  kind: QuantType,
  count: number,
  seed: number,
  scaleOf: (block: number, i: number) => number,
): Uint8Array<ArrayBuffer> {
  const { bytes } = BLOCK_OF[kind];
  const all = Uint8Array.from(numbers(count * bytes, seed), (value) => Math.floor((value + 1) * 127.99));
  const view = new DataView(all.buffer);
  for (let block = 0; block < count; block++) {
    SCALES_AT[kind].forEach((at, i) => view.setFloat16(block * bytes + at, scaleOf(block, i), true));
  }
  return all;
}

/** Blocks that stand for `elements` numbers of this root mean square around zero, as the weights of a network are. */
export function weightBlocks(kind: QuantType, elements: number, seed: number, size: number): Uint8Array<ArrayBuffer> {
  const count = elements / BLOCK_OF[kind].elements;
  // Minimums of the other sign bring the values to both sides of zero: files have such, and Q2_K to Q5_K subtract theirs.
  const sign = kind.endsWith("_1") ? -8 : 1;
  const make = (unit: number) => randomBlocks(kind, count, seed, (_, i) => i === 1 ? sign * unit : unit);
  const floats = dequantizeBlocks(kind, make(1));
  const square = floats.reduce((sum, value) => sum + value * value, 0) / elements;
  return make(size / Math.sqrt(square));
}
