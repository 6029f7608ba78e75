// groupNorm with SiLU at the shapes of the VAE's decoder.

import { groupNorm } from "../src/ops/group_norm.ts";
import { assertClose, numbers } from "../tests/_reference.ts";
import { benchOp, device } from "./_bench.ts";

const GROUPS = 32;

for (const [side, C] of [[64, 512], [128, 128], [256, 128]]) {
  const P = side * side, width = C / GROUPS, eps = 1e-6;
  const x = numbers(P * C), weight = numbers(C, 2), bias = numbers(C, 3);
  const X = device.upload(x, [1, side, side, C]);
  const options = {
    groups: GROUPS,
    eps,
    weight: device.upload(weight, [C]),
    bias: device.upload(bias, [C]),
    silu: true,
  };
  /** The channels of a group at every pixel. */
  const groupOf = (values: Float32Array, group: number) =>
    Float32Array.from(
      { length: P * width },
      (_, i) => values[Math.floor(i / width) * C + group * width + i % width],
    );
  for (const portable of device.subgroupSize === 8 ? [true, false] : [true]) {
    benchOp({
      op: "group_norm",
      shape: `${side}x${side}x${C}`,
      dtype: "f32",
      name: portable ? "portable" : "subgroup",
      baseline: portable,
      bytes: 8 * P * C,
      repetitions: 5,
      record: (rec) => groupNorm(rec, X, { ...options, portable }),
      check: (y) => {
        for (const group of [0, GROUPS - 1]) {
          const values = groupOf(x, group);
          const mean = values.reduce((sum, value) => sum + value / values.length, 0);
          const variance = values.reduce((sum, value) => sum + (value - mean) ** 2 / values.length, 0);
          const expected = values.map((value, i) => {
            const channel = group * width + i % width;
            const scaled = (value - mean) / Math.sqrt(variance + eps) * weight[channel] + bias[channel];
            return scaled / (1 + Math.exp(-scaled));
          });
          assertClose(groupOf(y, group), expected, 1e-5);
        }
      },
    });
  }
}
