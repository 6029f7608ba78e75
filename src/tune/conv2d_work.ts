// conv2d as work to be measured: a 3x3 convolution with random weights. In: the extents of an image. Out: its work.

import { Conv2d } from "../layers/conv2d.ts";
import { ParameterSet } from "../layers/parameters.ts";
import { convVariant } from "../ops/conv2d_variants.ts";
import type { FloatDType } from "../ops/weight_kernels.ts";
import type { TiledWork } from "./search.ts";
import { disposing, numbers, sample, weightNumbers, weightsOf } from "./work.ts";

/** A convolution of the autoencoder. */
export interface ConvWorkShape {
  /** Pixels of a side. */
  side: number;
  /** Channels in and out. */
  CI: number;
  CO: number;
}

/** Its inputs: x [side, side, CI], weights [CO, CI, 3, 3] as checkpoints have them, bias [CO]. */
export function convInputs({ side, CI, CO }: ConvWorkShape): Record<"x" | "w" | "bias", Float32Array> {
  return { x: numbers(side * side * CI, 1), w: weightNumbers(9 * CI * CO, 2), bias: numbers(CO, 3) };
}

/** The work of a convolution that keeps the size of the image. */
export function convWork(shape: ConvWorkShape, dtype: FloatDType): TiledWork {
  const { side, CI, CO } = shape, outputs = side * side;
  return {
    op: "conv2d",
    shape: `3x3 ${side}x${side} ${CI}->${CO}`,
    dtype,
    flops: 18 * outputs * CI * CO,
    bytes: 4 * outputs * (CI + CO) + (dtype === "f32" ? 4 : 2) * 9 * CI * CO,
    tolerance: dtype === "f32" ? 1e-5 : 2e-3,
    extents: { rows: outputs, columns: CO, depth: CI, weights: dtype },
    variant: (device) => convVariant(device, { inChannels: CI, outChannels: CO, outputs, dtype }),
    async open(device) {
      const { x, w, bias } = convInputs(shape);
      const parameters = new ParameterSet(device, "a convolution", dtype);
      const conv = new Conv2d(parameters, "conv", CI, CO, { kernel: 3 });
      using source = await weightsOf({
        "conv.weight": { shape: [CO, CI, 3, 3], data: w },
        "conv.bias": { shape: [CO], data: bias },
      });
      await parameters.load(source);
      const input = device.upload(x, [1, side, side, CI]);
      return {
        record: (rec) => conv.forward(rec, input),
        [Symbol.dispose]: disposing(parameters, input),
      };
    },
    expected() {
      const { x, w, bias } = convInputs(shape);
      return sample(outputs * CO, (place) => {
        const n = place % CO, pixel = Math.floor(place / CO), row = Math.floor(pixel / side), column = pixel % side;
        let sum = bias[n];
        for (let tap = 0; tap < 9; tap++) {
          const i = row + Math.floor(tap / 3) - 1, j = column + tap % 3 - 1;
          if (i < 0 || j < 0 || i >= side || j >= side) continue;
          for (let c = 0; c < CI; c++) sum += x[(i * side + j) * CI + c] * w[(n * CI + c) * 9 + tap];
        }
        return sum;
      });
    },
  };
}
