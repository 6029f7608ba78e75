// conv2d at shapes of the VAE's decoder: 3x3 convolutions of its blocks at every level, the first one and the last one.

import type { FloatDType } from "../../src/ops/weight_kernels.ts";
import { convInputs, convWork, type ConvWorkShape } from "../../src/tune/conv2d_work.ts";
import type { Case } from "../case.ts";

interface Shape extends ConvWorkShape {
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

function conv2dCase(shape: Shape, dtype: FloatDType): Case {
  const { side, CI, CO, words, peers, quick } = shape;
  return {
    ...convWork(shape, dtype),
    words: ["vae", ...words],
    quick,
    large: side * side * CI * CO > 1.1e9,
    peer: !peers ? undefined : {
      kind: "conv2d",
      extents: { side, CI, CO },
      inputs: () => {
        const { x, w, bias } = convInputs(shape), taps = new Float32Array(w.length);
        for (let n = 0; n < CO; n++) {
          for (let c = 0; c < CI; c++) {
            for (let tap = 0; tap < 9; tap++) taps[(tap * CI + c) * CO + n] = w[(n * CI + c) * 9 + tap];
          }
        }
        return Promise.resolve({
          x: { shape: [1, side, side, CI], data: x },
          w: { shape: [3, 3, CI, CO], data: taps },
          bias: { shape: [CO], data: bias },
        });
      },
    },
  };
}

/** All of them; weights of convolutions are f32 or f16. */
export const conv2dCases: readonly Case[] = SHAPES.flatMap((shape) => [
  conv2dCase(shape, "f32"),
  conv2dCase(shape, "f16"),
]);
