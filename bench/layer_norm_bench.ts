// layerNorm at the shapes of PixArt at 512 and 1024 pixels, with the modulation of adaLN.

import { layerNorm } from "../src/ops/layer_norm.ts";
import { assertClose, numbers } from "../tests/_reference.ts";
import { benchOp, device } from "./_bench.ts";

for (const [B, N, C] of [[2, 1024, 1152], [1, 4096, 1152]]) {
  const x = numbers(B * N * C), table = numbers(B * 2 * C, 2);
  const X = device.upload(x, [B, N, C]), tensor = device.upload(table, [B, 2, C]);
  const eps = 1e-6;
  const expected = (row: number) => {
    const values = x.subarray(row * C, (row + 1) * C), sample = Math.floor(row / N);
    const mean = values.reduce((sum, value) => sum + value / C, 0);
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2 / C, 0);
    return values.map((value, c) =>
      (value - mean) / Math.sqrt(variance + eps) * (1 + table[(sample * 2 + 1) * C + c]) + table[sample * 2 * C + c]
    );
  };
  for (const portable of device.subgroupSize === 8 ? [true, false] : [true]) {
    benchOp({
      op: "layer_norm",
      shape: `${B}x${N}x${C}`,
      dtype: "f32",
      name: portable ? "portable" : "subgroup",
      baseline: portable,
      bytes: 8 * B * N * C,
      repetitions: 10,
      record: (rec) =>
        layerNorm(rec, X, {
          eps,
          shift: { tensor, stride: 2 * C, offset: 0 },
          scale: { tensor, stride: 2 * C, offset: C },
          portable,
        }),
      check: (y) => {
        for (const row of [0, N - 1, B * N - 1]) assertClose(y.subarray(row * C, (row + 1) * C), expected(row), 1e-5);
      },
    });
  }
}
