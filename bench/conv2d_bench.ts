// conv2d at shapes of the VAE's decoder: 3x3 convolutions of blocks, the first one and the last one.

import { Tensor } from "../src/gpu/tensor.ts";
import { f32ToF16 } from "../src/io/half.ts";
import { conv2d } from "../src/ops/conv2d.ts";
import { assertClose, numbers } from "../tests/_reference.ts";
import { benchOp, device } from "./_bench.ts";

const SHAPES = [
  { side: 64, CI: 128, CO: 128, repetitions: 2 },
  { side: 128, CI: 64, CO: 64, repetitions: 2 },
  { side: 64, CI: 4, CO: 512, repetitions: 5 },
  { side: 128, CI: 128, CO: 3, repetitions: 5 },
];

const padding = { top: 1, left: 1, bottom: 1, right: 1 };

for (const { side, CI, CO, repetitions } of SHAPES) {
  const columns = Math.ceil(CO / 4) * 4;
  const x = numbers(side * side * CI), bias = numbers(CO, 3);
  // Packed as the kernels read them: [tap * CI + channel, columns]; rounded so that halves hold them exactly.
  const w = numbers(9 * CI * columns, 2).map((value) => Math.round(value * 512) / 512);
  const X = device.upload(x, [1, side, side, CI]), BIAS = device.upload(bias, [CO]);
  const expected = (row: number, column: number, n: number) => {
    let sum = bias[n];
    for (let tap = 0; tap < 9; tap++) {
      const i = row + Math.floor(tap / 3) - 1, j = column + tap % 3 - 1;
      if (i < 0 || j < 0 || i >= side || j >= side) continue;
      for (let c = 0; c < CI; c++) sum += x[(i * side + j) * CI + c] * w[(tap * CI + c) * columns + n];
    }
    return sum;
  };
  for (const dtype of ["f32", "f16"] as const) {
    const W = dtype === "f32" ? device.upload(w, [9 * CI, columns]) : halves(w, 9 * CI, columns);
    // Three channels are made by the portable kernel everywhere.
    for (const portable of device.subgroupSize === 8 && CO % 4 === 0 ? [true, false] : [true]) {
      benchOp({
        op: "conv2d",
        shape: `3x3 ${side}x${side} ${CI}->${CO}`,
        dtype,
        name: portable ? "portable" : "wide",
        baseline: portable,
        flops: 18 * side * side * CI * CO,
        repetitions,
        record: (rec) => conv2d(rec, X, W, { kernel: 3, stride: 1, padding, outChannels: CO, bias: BIAS, portable }),
        check: (y) => {
          const places = Array.from({ length: 300 }, (_, i) => [(i * 37) % side, (i * 11) % side, (i * 101) % CO]);
          assertClose(
            places.map(([row, column, n]) => y[(row * side + column) * CO + n]),
            places.map(([row, column, n]) => expected(row, column, n)),
            1e-5,
          );
        },
      });
    }
  }
}

function halves(w: Float32Array, rows: number, columns: number): Tensor {
  const words = device.upload(new Uint32Array(f32ToF16(w).buffer), [rows * columns / 2]);
  return new Tensor(words.storage, [rows, columns], "f16");
}
