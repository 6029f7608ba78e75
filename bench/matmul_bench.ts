// matmul at the shapes of PixArt at 512 pixels: qkv, output and feed-forward of a block, adaLN of a batch, T5's feed-forward.

import { Tensor } from "../src/gpu/tensor.ts";
import { f32ToF16 } from "../src/io/half.ts";
import { matmul } from "../src/ops/matmul.ts";
import { matmulVariant, portableMatmul } from "../src/ops/matmul_variants.ts";
import { assertClose, numbers } from "../tests/_reference.ts";
import { benchOp, device } from "./_bench.ts";

// The portable kernel takes seconds for the larger ones on a CPU, and says nothing new there.
const SHAPES = [
  { M: 1024, K: 1152, N: 1152, repetitions: 2, portable: true },
  { M: 1024, K: 1152, N: 4608, repetitions: 1, portable: false },
  { M: 1024, K: 4608, N: 1152, repetitions: 1, portable: false },
  { M: 2, K: 1152, N: 6912, repetitions: 10, portable: true },
  { M: 300, K: 4096, N: 2560, repetitions: 1, portable: false },
];

for (const { M, K, N, repetitions, portable } of SHAPES) {
  const x = numbers(M * K), w = numbers(K * N, 2).map((value) => Math.round(value * 512) / 512);
  const X = device.upload(x, [M, K]);
  for (const dtype of ["f32", "f16"] as const) {
    const W = dtype === "f32" ? device.upload(w, [K, N]) : halves(w, K, N);
    const fastest = matmulVariant(device, M, K);
    const variants = portable ? [portableMatmul(M), fastest] : [fastest];
    for (const variant of variants) {
      benchOp({
        op: "matmul",
        shape: `${M}x${K}x${N}`,
        dtype,
        name: variant.name,
        baseline: variant === variants[0],
        flops: 2 * M * K * N,
        repetitions,
        record: (rec) => matmul(rec, X, W, { variant }),
        check: (y) => {
          const places = Array.from({ length: 300 }, (_, i) => [(i * 37) % M, (i * 101) % N]);
          const expected = places.map(([m, n]) => {
            let sum = 0;
            for (let k = 0; k < K; k++) sum += x[m * K + k] * w[k * N + n];
            return sum;
          });
          assertClose(places.map(([m, n]) => y[m * N + n]), expected, 1e-5);
        },
      });
    }
  }
}

function halves(w: Float32Array, K: number, N: number): Tensor {
  const words = device.upload(new Uint32Array(f32ToF16(w).buffer), [K * N / 2]);
  return new Tensor(words.storage, [K, N], "f16");
}
