import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { groupNorm } from "../../src/ops/group_norm.ts";
import { device } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";
import { runBoth } from "./_portable.ts";

/** Group norm over [samples, pixels, columns] in doubles. */
function reference(
  x: Float32Array,
  [samples, pixels, columns]: number[],
  { groups, eps, weight, bias, silu }: {
    groups: number;
    eps: number;
    weight: Float32Array;
    bias: Float32Array;
    silu: boolean;
  },
): Float64Array {
  const y = new Float64Array(x.length);
  const width = columns / groups, count = pixels * width;
  for (let b = 0; b < samples; b++) {
    for (let g = 0; g < groups; g++) {
      const indices: number[] = [];
      for (let i = 0; i < pixels; i++) {
        for (let c = 0; c < width; c++) indices.push((b * pixels + i) * columns + g * width + c);
      }
      let mean = 0, variance = 0;
      for (const i of indices) mean += x[i] / count;
      for (const i of indices) variance += (x[i] - mean) ** 2 / count;
      for (const i of indices) {
        const value = (x[i] - mean) / Math.sqrt(variance + eps) * weight[i % columns] + bias[i % columns];
        y[i] = silu ? value / (1 + Math.exp(-value)) : value;
      }
    }
  }
  return y;
}

async function check(shape: number[], groups: number, silu: boolean, x: Float32Array, tolerance: number) {
  const [samples, height, width, columns] = shape;
  const weight = numbers(columns, 2), bias = numbers(columns, 3);
  const eps = 1e-6;
  const expected = reference(x, [samples, height * width, columns], { groups, eps, weight, bias, silu });
  const results = await runBoth((rec) =>
    groupNorm(rec, rec.upload(x, shape), {
      groups,
      eps,
      weight: rec.upload(weight, [columns]),
      bias: rec.upload(bias, [columns]),
      silu,
    })
  );
  for (const actual of results) assertClose(actual, expected, tolerance, `[${shape}] in ${groups} groups`);
}

Deno.test("groupNorm() normalises groups of every width, with and without SiLU", async () => {
  const cases: [number[], number][] = [
    [[2, 16, 16, 128], 32],
    [[1, 5, 7, 16], 8],
    [[2, 3, 3, 12], 4],
    [[1, 9, 31, 6], 3],
    [[3, 1, 1, 4], 1],
    [[1, 40, 33, 10], 2],
    [[1, 2, 2, 512], 32],
  ];
  for (const [shape, groups] of cases) {
    const x = numbers(shape.reduce((a, b) => a * b), 1).map((value, i) => value * 2 + i % 5);
    for (const silu of [false, true]) await check(shape, groups, silu, x, 1e-5);
  }
});

/** Gives the arena a buffer of ones, as halves, which the next tensor of this size finds in its place. */
function leaveBehind(rec: Recorder, halves: number) {
  using _scope = rec.scope();
  rec.upload(new Uint32Array(halves / 2).fill(0x3c003c00), [halves / 2]);
}

Deno.test("groupNorm() makes halves of channels in fours, with a pixel of zeros behind, and else what it always makes", async () => {
  for (const [shape, groups] of [[[2, 5, 7, 64], 32], [[3, 9, 31, 12], 4], [[1, 40, 33, 10], 2]] as const) {
    const [samples, height, width, columns] = shape;
    const x = numbers(samples * height * width * columns, 1), weight = numbers(columns, 2), bias = numbers(columns, 3);
    const inHalves = columns % 4 === 0, eps = 1e-6;
    const results = await runBoth((rec) => {
      leaveBehind(rec, x.length + columns);
      const weights = { weight: rec.upload(weight, [columns]), bias: rec.upload(bias, [columns]) };
      const y = groupNorm(rec, rec.upload(x, shape), { groups, eps, ...weights, silu: true, halves: true });
      assert.deepEqual(y.shape, inHalves ? [x.length / columns + 1, columns] : shape);
      assert.equal(y.dtype, inHalves ? "f16" : "f32");
      return y;
    });
    const dense = [samples, height * width, columns];
    const expected = Array.from(reference(x, dense, { groups, eps, weight, bias, silu: true }));
    if (inHalves) expected.push(...new Array(columns).fill(0));
    for (const actual of results) {
      assertClose(actual, expected, 2 ** -11, `[${shape}]`);
      assert.ok(actual.subarray(x.length).every((value) => value === 0), `behind [${shape}]`);
    }
  }
});

Deno.test("groupNorm() keeps its digits over many pixels far from zero", async () => {
  const shape = [1, 512, 500, 4];
  // A slow drift beside a large mean: sums of 256,000 such numbers in plain f32 lose the digits that the drift needs.
  const noise = numbers(512 * 500 * 4, 1);
  const x = noise.map((value, i) => 300 + value + i / noise.length);
  await check(shape, 2, false, x, 3e-4);
});

Deno.test("groupNorm() refuses groups and weights that do not fit", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const x = rec.tensor([1, 2, 2, 6]), weight = rec.tensor([6]), bias = rec.tensor([6]);
  groupNorm(rec, x, { groups: 3, eps: 1e-6, weight, bias });
  assert.throws(() => groupNorm(rec, x, { groups: 4, eps: 1e-6, weight, bias }), /f32\[1, 2, 2, 6\].*4 groups/);
  assert.throws(() => groupNorm(rec, x, { groups: 3, eps: 1e-6, weight, bias: rec.tensor([5]) }), ShapeError);
  assert.throws(() => groupNorm(rec, rec.tensor([4, 6]), { groups: 3, eps: 1e-6, weight, bias }), ShapeError);
});
