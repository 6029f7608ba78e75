import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import { f32ToF16 } from "../../src/io/half.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { batchedMatmul } from "../../src/ops/matmul_batched.ts";
import type { WeightDType } from "../../src/ops/weight_kernels.ts";
import { run } from "../_device.ts";
import { runLimited } from "../_limited.ts";
import { assertClose, numbers } from "../_reference.ts";
import { type Candidate, CANDIDATES } from "./_matmul_variants.ts";

type Shape = [M: number, K: number, N: number];

// A matrix [K, N] whose values f16 holds exactly, so that both types of weights have one reference.
function weights(K: number, N: number): Float32Array {
  return numbers(K * N, 5).map((value) => Math.round(value * 512) / 512);
}

function upload(rec: Recorder, w: Float32Array, K: number, N: number, dtype: WeightDType): Tensor {
  const Np = Math.ceil(N / 4) * 4;
  const padded = new Float32Array(K * Np);
  for (let k = 0; k < K; k++) padded.set(w.subarray(k * N, (k + 1) * N), k * Np);
  if (dtype === "f32") return rec.upload(padded, [K, Np]);
  const words = rec.upload(new Uint32Array(f32ToF16(padded).buffer), [K * Np / 2]);
  return new Tensor(words.storage, [K, Np], "f16", words.offset);
}

function product(x: Float32Array, w: Float32Array, [M, K, N]: Shape): Float64Array {
  const y = new Float64Array(M * N);
  for (let m = 0; m < M; m++) {
    for (let k = 0; k < K; k++) {
      for (let n = 0; n < N; n++) y[m * N + n] += x[m * K + k] * w[k * N + n];
    }
  }
  return y;
}

const silu = (v: number) => v / (1 + Math.exp(-v));
const gelu = (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));

const SHAPES: Shape[] = [
  [64, 64, 128],
  [1, 1, 1],
  [2, 8, 5],
  [37, 67, 45],
  [37, 68, 45],
  [37, 68, 40],
  [5, 132, 132],
  [70, 20, 72],
];

function forVariants(name: string, test: (candidate: Candidate) => Promise<void>): void {
  Deno.test(`matmul() ${name}`, async (t) => {
    for (const candidate of CANDIDATES) await t.step(candidate.name, () => test(candidate));
  });
}

forVariants("matches the reference for f32 and f16 weights", async ({ variant, tolerance, takes }) => {
  for (const shape of SHAPES) {
    const [M, K, N] = shape;
    const x = numbers(M * K), w = weights(K, N), expected = product(x, w, shape);
    for (const dtype of (["f32", "f16"] as const).filter((dtype) => takes({ K, N, dtype }))) {
      const actual = await run((rec) =>
        matmul(rec, rec.upload(x, [M, K]), upload(rec, w, K, N, dtype), {
          variant,
          columns: N,
        })
      );
      assertClose(actual, expected, tolerance, `${shape} ${dtype}`);
    }
  }
});

// Columns in fours or not, and weights that every kernel takes.
const EDGES: [...Shape, WeightDType][] = [[37, 68, 45, "f32"], [37, 68, 40, "f16"]];

forVariants("applies bias, activation and factors in this order", async ({ variant, tolerance, takes }) => {
  for (const [M, K, N, dtype] of EDGES.filter(([, K, N, dtype]) => takes({ K, N, dtype }))) {
    const x = numbers(M * K), w = weights(K, N), bias = numbers(N, 2, 20), factors = numbers(M * N, 3);
    const sums = product(x, w, [M, K, N]);
    for (const [activation, f] of [["none", (v: number) => v], ["gelu-tanh", gelu], ["silu", silu]] as const) {
      const actual = await run((rec) =>
        matmul(rec, rec.upload(x, [M, K]), upload(rec, w, K, N, dtype), {
          variant,
          columns: N,
          bias: rec.upload(bias, [N]),
          activation,
          multiply: rec.upload(factors, [M, N]),
        })
      );
      assertClose(actual, sums.map((sum, i) => f(sum + bias[i % N]) * factors[i]), tolerance, `${activation} ${N}`);
    }
  }
});

forVariants("adds to the residual through a gate a sample", async ({ variant, tolerance }) => {
  const [B, L, K, N] = [3, 11, 24, 40];
  const x = numbers(B * L * K), w = weights(K, N), residual = numbers(B * L * N, 2), gates = numbers(B * 3 * N, 3);
  const expected = product(x, w, [B * L, K, N])
    .map((sum, i) => residual[i] + sum * gates[Math.floor(i / N / L) * 3 * N + N + i % N]);
  const plain = product(x, w, [B * L, K, N]).map((sum, i) => residual[i] + sum);
  for (const gated of [true, false]) {
    const actual = await run((rec) => {
      const addTo = rec.upload(residual, [B, L, N]);
      const gate = gated ? { gate: rec.upload(gates, [B, 3 * N]), gateStride: 3 * N, gateOffset: N } : {};
      const y = matmul(rec, rec.upload(x, [B, L, K]), upload(rec, w, K, N, "f16"), { variant, addTo, ...gate });
      assert.equal(y, addTo);
      return y;
    });
    assertClose(actual, gated ? expected : plain, tolerance);
  }
});

forVariants("writes a slice of columns and leaves the others", async ({ variant, tolerance, takes }) => {
  for (const [N, wide, at, dtype] of [[22, 50, 13, "f32"], [24, 52, 12, "f16"]] as const) {
    const [M, K] = [19, 20];
    if (!takes({ K, N, dtype })) continue;
    const x = numbers(M * K), w = weights(K, N), before = numbers(M * wide, 2), factors = numbers(M * wide, 3);
    const sums = product(x, w, [M, K, N]);
    for (const residual of [false, true]) {
      const expected = Float64Array.from(before);
      for (let i = 0; i < M * N; i++) {
        const place = Math.floor(i / N) * wide + at + i % N;
        expected[place] = (residual ? before[place] : 0) + sums[i] * factors[place];
      }
      const actual = await run((rec) => {
        const out = rec.upload(before, [M, wide]);
        return matmul(rec, rec.upload(x, [M, K]), upload(rec, w, K, N, dtype), {
          variant,
          ...(residual ? { addTo: out } : { out }),
          columns: N,
          outOffset: at,
          multiply: rec.upload(factors, [M, wide]),
        });
      });
      assertClose(actual, expected, tolerance, `${N} columns at ${at}`);
    }
  }
});

forVariants("applies SiLU to its input", async ({ variant, tolerance }) => {
  const shape: Shape = [2, 28, 40], [M, K, N] = shape;
  const x = numbers(M * K, 1, 8), w = weights(K, N);
  const actual = await run((rec) =>
    matmul(rec, rec.upload(x, [M, K]), upload(rec, w, K, N, "f16"), { variant, inputActivation: "silu" })
  );
  assertClose(actual, product(x.map(silu), w, shape), tolerance);
});

forVariants("takes activations beyond the range of f16", async ({ variant, tolerance }) => {
  const shape: Shape = [6, 32, 40], [M, K, N] = shape;
  const x = numbers(M * K).map((value, i) => value * 10 ** (Math.floor(i / K) - 0.1)), w = weights(K, N);
  const actual = await run((rec) => matmul(rec, rec.upload(x, [M, K]), upload(rec, w, K, N, "f16"), { variant }));
  const expected = product(x, w, shape);
  for (let m = 0; m < M; m++) {
    assertClose(actual.subarray(m * N, (m + 1) * N), expected.subarray(m * N, (m + 1) * N), tolerance, `row ${m}`);
  }
});

forVariants("takes activations that are halves where its kernel reads such", async ({ variant, tolerance }) => {
  const shape: Shape = [19, 64, 40], [M, K, N] = shape;
  const x = weights(M, K), w = weights(K, N); // exact in halves
  const work = (rec: Recorder) =>
    matmul(rec, upload(rec, x, M, K, "f16"), upload(rec, w, K, N, "f16"), { variant, bias: rec.upload(x, [M * K]) });
  if (!variant.takesHalves) return await assert.rejects(run(work), ShapeError);
  const sums = product(x, w, shape);
  assertClose(await run(work), sums.map((sum, i) => sum + x[i % N]), tolerance);
});

forVariants("makes halves where its kernel can and may", async ({ variant, tolerance }) => {
  const shape: Shape = [19, 20, 40], [M, K, N] = shape;
  const x = numbers(M * K), w = weights(K, N), factors = numbers(M * N, 3);
  const actual = await run((rec) => {
    const multiply = rec.upload(factors, [M, N]);
    const y = matmul(rec, rec.upload(x, [M, K]), upload(rec, w, K, N, "f16"), { variant, multiply, halves: true });
    assert.equal(y.dtype, variant.toHalves ? "f16" : "f32");
    return y;
  });
  assertClose(actual, product(x, w, shape).map((sum, i) => sum * factors[i]), tolerance);
});

Deno.test("matmul() refuses a kernel that does not take its weights or places", async () => {
  const { variant } = CANDIDATES.find(({ name }) => name === "tile")!;
  await assert.rejects(
    run((rec) =>
      matmul(rec, rec.upload(numbers(12), [3, 4]), rec.upload(numbers(32), [4, 8]), { variant, columns: 7 })
    ),
    (error) => error instanceof ShapeError && error.message.includes("tile, 7"),
  );
});

Deno.test("matmul() keeps GELU and SiLU finite for large sums", async () => {
  const x = Float32Array.of(1e4, -1e4, 60, -60), w = Float32Array.of(1, 1, 1, 1);
  for (const activation of ["gelu-tanh", "silu"] as const) {
    const actual = await run((rec) =>
      matmul(rec, rec.upload(x, [4, 1]), rec.upload(w, [1, 4]), { columns: 1, activation })
    );
    assertClose(actual, [1e4, 0, 60, 0], 1e-7);
  }
});

Deno.test("matmul() takes rows in parts when a binding cannot hold them", async () => {
  const [B, L, K, N] = [2, 100, 5, 8];
  const x = numbers(B * L * K), w = weights(K, N), residual = numbers(B * L * N, 2), gates = numbers(B * N, 3);
  const factors = numbers(B * L * N, 4);
  const actual = await runLimited(
    64 * N * 4,
    (rec) =>
      matmul(rec, rec.upload(x, [B, L, K]), upload(rec, w, K, N, "f32"), {
        addTo: rec.upload(residual, [B, L, N]),
        gate: rec.upload(gates, [B, N]),
        multiply: rec.upload(factors, [B, L, N]),
      }),
  );
  const expected = product(x, w, [B * L, K, N])
    .map((sum, i) => residual[i] + sum * factors[i] * gates[Math.floor(i / N / L) * N + i % N]);
  assertClose(actual, expected, 2e-6);
});

Deno.test("matmul() refuses operands that do not fit", async () => {
  const refuse = (work: (rec: Recorder) => Tensor, part: string) =>
    assert.rejects(run(work), (error) => error instanceof ShapeError && error.message.includes(part), part);
  const x = numbers(12), w = numbers(32);
  await Promise.all([
    refuse((rec) => matmul(rec, rec.upload(x, [3, 4]), rec.upload(w, [8, 4])), "8 and 4"),
    refuse((rec) => matmul(rec, rec.upload(x, [3, 4]), rec.upload(w, [4, 8]), { columns: 9 }), "9 columns"),
    refuse(
      (rec) => matmul(rec, rec.upload(x, [3, 4]), rec.upload(w, [4, 8]), { bias: rec.upload(x, [12]).view([7]) }),
      "bias f32[7]",
    ),
    refuse(
      (rec) => matmul(rec, rec.upload(x, [3, 4]), rec.upload(w, [4, 8]), { out: rec.tensor([3, 7]) }),
      "must fit",
    ),
    refuse((rec) => {
      const y = rec.upload(w, [4, 8]);
      return matmul(rec, y, rec.upload(numbers(64), [8, 8]), { addTo: y });
    }, "one buffer"),
    refuse(
      (rec) =>
        matmul(rec, rec.upload(x, [3, 4]), rec.upload(w, [4, 8]), {
          addTo: rec.tensor([3, 8]),
          gate: rec.tensor([1, 8]),
          rowsPerSample: 1,
        }),
      "24 floats",
    ),
    refuse(
      (rec) => matmul(rec, rec.upload(x, [3, 4]), rec.upload(w, [4, 8]), { gate: rec.tensor([8]) }),
      "residual",
    ),
    refuse((rec) => batchedMatmul(rec, rec.upload(x, [1, 3, 4]), rec.upload(w, [1, 8, 4])), "4 and 8"),
  ]);
});

Deno.test("batchedMatmul() matches the reference", async () => {
  for (const [B, M, K, N] of [[2, 16, 32, 64], [3, 7, 5, 67]]) {
    const a = numbers(B * M * K), b = numbers(B * K * N, 2), expected: number[] = [];
    for (let i = 0; i < B; i++) {
      expected.push(
        ...product(a.subarray(i * M * K, (i + 1) * M * K), b.subarray(i * K * N, (i + 1) * K * N), [M, K, N]),
      );
    }
    const flipped = new Float32Array(b.length);
    for (let i = 0; i < b.length; i++) {
      const matrix = Math.floor(i / (K * N)), k = Math.floor(i / N) % K, n = i % N;
      flipped[(matrix * N + n) * K + k] = b[i];
    }
    const plain = await run((rec) => batchedMatmul(rec, rec.upload(a, [B, M, K]), rec.upload(b, [B, K, N])));
    assertClose(plain, expected, 2e-6, `${[B, M, K, N]}`);
    const transposed = await run((rec) =>
      batchedMatmul(rec, rec.upload(a, [B, M, K]), rec.upload(flipped, [B, N, K]), { transposeB: true })
    );
    assertClose(transposed, expected, 2e-6, `${[B, M, K, N]} transposed`);
  }
});
