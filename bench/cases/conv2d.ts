// conv2d at shapes of the VAE's decoder: 3x3 convolutions of its blocks at every level, the first one and the last one.

import { Conv2d } from "../../src/layers/conv2d.ts";
import { ParameterSet } from "../../src/layers/parameters.ts";
import { numbers } from "../../tests/_reference.ts";
import { type Case, disposing, sample, weightsOf } from "../case.ts";

interface Shape {
  side: number;
  CI: number;
  CO: number;
  words: string[];
  peers?: boolean;
  quick?: boolean;
}

const SHAPES: Shape[] = [
  { side: 64, CI: 128, CO: 128, words: ["512"], peers: true, quick: true }, // as small as peers can be raced at on a CPU
  { side: 32, CI: 4, CO: 512, words: ["256"] },
  { side: 64, CI: 512, CO: 512, words: ["512"] },
  { side: 128, CI: 512, CO: 512, words: ["1024"], peers: true },
  { side: 256, CI: 256, CO: 256, words: ["512"] },
  { side: 256, CI: 128, CO: 128, words: ["256"] },
  { side: 1024, CI: 128, CO: 128, words: ["1024"] },
  { side: 256, CI: 128, CO: 3, words: ["256"] },
];

function conv2dCase({ side, CI, CO, words, peers, quick }: Shape, dtype: "f32" | "f16", tolerance: number): Case {
  // Halves hold these exactly; [out, in, height, width] as checkpoints have them.
  const weight = () => numbers(9 * CI * CO, 2).map((value) => Math.round(value * 512) / 512);
  const input = () => numbers(side * side * CI, 1);
  const bias = () => numbers(CO, 3);
  return {
    op: "conv2d",
    shape: `3x3 ${side}x${side} ${CI}->${CO}`,
    dtype,
    words: ["vae", ...words],
    flops: 18 * side * side * CI * CO,
    bytes: 4 * side * side * (CI + CO) + (dtype === "f32" ? 4 : 2) * 9 * CI * CO,
    tolerance,
    quick,
    large: side * side * CI * CO > 1.1e9,
    async open(device) {
      const parameters = new ParameterSet(device, "bench", dtype);
      const conv = new Conv2d(parameters, "conv", CI, CO, { kernel: 3 });
      using source = await weightsOf({
        "conv.weight": { shape: [CO, CI, 3, 3], data: weight() },
        "conv.bias": { shape: [CO], data: bias() },
      });
      await parameters.load(source);
      const x = device.upload(input(), [1, side, side, CI]);
      return {
        record: (rec) => conv.forward(rec, x),
        [Symbol.dispose]: disposing(parameters, x),
      };
    },
    expected() {
      const x = input(), w = weight(), b = bias();
      return sample(side * side * CO, (place) => {
        const n = place % CO, pixel = Math.floor(place / CO), row = Math.floor(pixel / side), column = pixel % side;
        let sum = b[n];
        for (let tap = 0; tap < 9; tap++) {
          const i = row + Math.floor(tap / 3) - 1, j = column + tap % 3 - 1;
          if (i < 0 || j < 0 || i >= side || j >= side) continue;
          for (let c = 0; c < CI; c++) sum += x[(i * side + j) * CI + c] * w[(n * CI + c) * 9 + tap];
        }
        return sum;
      });
    },
    peer: !peers ? undefined : {
      kind: "conv2d",
      extents: { side, CI, CO },
      inputs: () => {
        const w = weight(), taps = new Float32Array(w.length);
        for (let n = 0; n < CO; n++) {
          for (let c = 0; c < CI; c++) {
            for (let tap = 0; tap < 9; tap++) taps[(tap * CI + c) * CO + n] = w[(n * CI + c) * 9 + tap];
          }
        }
        return Promise.resolve({
          x: { shape: [1, side, side, CI], data: input() },
          w: { shape: [3, 3, CI, CO], data: taps },
          bias: { shape: [CO], data: bias() },
        });
      },
    },
  };
}

/** All of them; weights of convolutions are f32 or f16. */
export const conv2dCases: readonly Case[] = SHAPES.flatMap((shape) => [
  conv2dCase(shape, "f32", 1e-5),
  conv2dCase(shape, "f16", 2e-3),
]);
