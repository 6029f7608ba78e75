// Products with weights in blocks, in every format and by every kernel that this device has: against what the blocks stand for.

import assert from "node:assert/strict";
import type { Device } from "../../src/gpu/device.ts";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { type BlockFormat, BlockWeight } from "../../src/ops/block_weight.ts";
import { matmul, type MatmulOptions } from "../../src/ops/matmul.ts";
import { portableMatmul } from "../../src/ops/matmul_variants.ts";
import { weightBytes } from "../../src/ops/weight_bytes.ts";
import { device } from "../_device.ts";
import { runLimited } from "../_limited.ts";
import { assertClose, numbers } from "../_reference.ts";
import { unpack } from "./_block_weight.ts";
import { type Candidate, CANDIDATES } from "./_matmul_variants.ts";
import { plainDevice } from "./_portable.ts";

const FORMATS: BlockFormat[] = (["int8", "int4"] as const).flatMap((dtype) =>
  ([32, 16] as const).flatMap((blockLength) => [false, true].map((hasMinimum) => ({ dtype, blockLength, hasMinimum })))
);

/** Columns that are no multiple of 4 are the first of a weight that is wider. */
type Shape = [M: number, K: number, N: number];
const SHAPES: Shape[] = [[64, 64, 128], [1, 4, 4], [3, 20, 8], [37, 68, 45], [5, 132, 132]];

/** A weight of any integers; scales and minimums are halves of both signs. */
function randomWeight(on: Device, [, K, N]: Shape, format: BlockFormat): BlockWeight {
  const weight = new BlockWeight(on, [K, Math.ceil(N / 4) * 4], format);
  const words = (count: number, seed: number) =>
    Uint32Array.from(numbers(count, seed), (value) => (value + 1) * 2 ** 31);
  on.write(weight.values, words(weight.values.size, K));
  // The exponent of each half becomes one of 2^-7 to 2^-4.
  const halves = words(weight.scales.size, N).map((word) => (word & 0x87ff87ff) | 0x20002000);
  on.write(weight.scales, Uint32Array.from(halves));
  return weight;
}

async function expected(on: Device, x: Float32Array, weight: BlockWeight, [M, K, N]: Shape): Promise<Float64Array> {
  const { numbers: w } = await unpack(on, weight);
  const y = new Float64Array(M * N);
  for (let m = 0; m < M; m++) {
    for (let k = 0; k < K; k++) {
      for (let n = 0; n < N; n++) y[m * N + n] += x[m * K + k] * w[k * weight.shape[1] + n];
    }
  }
  return y;
}

Deno.test("matmul() multiplies by weights in blocks of every format, with every kernel", async (t) => {
  const featureless: Candidate = {
    name: "portable, without features",
    variant: portableMatmul(64),
    tolerance: 3e-6,
    takes: () => true,
  };
  for (const { name, variant, tolerance, takes } of [featureless, ...CANDIDATES]) {
    const on = name === featureless.name ? plainDevice : device;
    await t.step(name, async () => {
      for (const format of FORMATS) {
        for (const shape of SHAPES) {
          const [M, K, N] = shape;
          if (!takes({ K, N, dtype: format.dtype })) continue;
          using weight = randomWeight(on, shape, format);
          const x = numbers(M * K, M);
          const rec = new Recorder(on);
          using _scope = rec.scope();
          const y = matmul(rec, rec.upload(x, [M, K]), weight, { columns: N, variant });
          rec.submit();
          assertClose(
            await read(on, y),
            await expected(on, x, weight, shape),
            tolerance,
            `${shape} ${JSON.stringify(format)}`,
          );
        }
      }
    });
  }
});

Deno.test("matmul() by blocks does all that follows a product, and goes by runs of rows where a binding is small", async () => {
  const shape: Shape = [150, 64, 44], [M, K, N] = shape;
  const x = numbers(M * K), bias = numbers(N, 2), factors = numbers(M * N, 3), start = numbers(M * N, 4);
  const format = FORMATS[4];
  using weight = randomWeight(device, shape, format);
  const sums = await expected(device, x, weight, shape);
  const wanted = sums.map((sum, i) => {
    const value = sum + bias[i % N];
    return start[i] + value / (1 + Math.exp(-value)) * factors[i];
  });
  const work = (rec: Recorder, w: BlockWeight) => {
    const options: MatmulOptions = {
      bias: rec.upload(bias, [N]),
      activation: "silu",
      multiply: rec.upload(factors, [M, N]),
      addTo: rec.upload(start, [M, N]),
    };
    return matmul(rec, rec.upload(x, [M, K]), w, options);
  };
  const actual = await runLimited(65 * K * 4, (rec) => work(rec, randomWeight(rec.device, shape, format)));
  assertClose(actual, wanted, 3e-6);
});

Deno.test("weightBytes() is what a weight in blocks takes", () => {
  for (const format of FORMATS) {
    for (const [, K, N] of SHAPES) {
      using weight = new BlockWeight(device, [K, Math.ceil(N / 4) * 4], format);
      assert.equal(weight.bytes, weightBytes(K, N, format), `${K} ${N} ${JSON.stringify(format)}`);
    }
  }
});
