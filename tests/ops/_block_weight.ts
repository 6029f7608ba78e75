// Weights in blocks, back as floats: the definition of their layout in plain loops.

import type { Device } from "../../src/gpu/device.ts";
import { halfToFloat, readAll } from "../../src/gpu/readback.ts";
import type { BlockWeight } from "../../src/ops/block_weight.ts";

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
