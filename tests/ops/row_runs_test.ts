// Ops over more rows than a binding holds give the same numbers, bit for bit, as where all fit.

import assert from "node:assert/strict";
import type { Device } from "../../src/gpu/device.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { countNonFinite } from "../../src/ops/count_non_finite.ts";
import { groupNorm } from "../../src/ops/group_norm.ts";
import { layerNorm } from "../../src/ops/layer_norm.ts";
import { resizeAndCrop } from "../../src/ops/resize_and_crop.ts";
import { rowBands, rowRuns } from "../../src/ops/row_runs.ts";
import { blendTile } from "../../src/ops/tile.ts";
import { toImage, toPixels } from "../../src/ops/to_pixels.ts";
import { run } from "../_device.ts";
import { runLimited } from "../_limited.ts";
import { numbers } from "../_reference.ts";

/** Stands for a device whose bindings hold so many floats. */
const holding = (floats: number) => ({ limits: { maxStorageBufferBindingSize: 4 * floats } }) as Device;

Deno.test("rowRuns() starts runs on the alignment of bindings in every tensor, and fills bindings", () => {
  const firsts = (floats: number, rows: number, widths: number[], multiple?: number) =>
    rowRuns(holding(floats), rows, widths, multiple).map(({ first }) => first);
  assert.deepEqual(firsts(1000, 10, [100]), [0]);
  assert.deepEqual(firsts(1000, 11, [64]), [0]);
  assert.deepEqual(firsts(1000, 20, [64]), [0, 15]);
  assert.deepEqual(firsts(1000, 70, [24]), [0, 40]); // 8 rows of 24 floats are 3 times 256 bytes
  assert.deepEqual(firsts(1000, 40, [64, 72]), [0, 8, 16, 24, 32]);
  assert.deepEqual(firsts(1000, 40, [64], 6), [0, 12, 24, 36]);
  assert.deepEqual(rowRuns(holding(1000), 20, [64]).at(-1), { first: 15, count: 5 });
  assert.deepEqual(firsts(10, 3, [64]), [0, 1, 2]);
  assert.deepEqual(firsts(10, 0, [64]), []);
});

Deno.test("rowBands() lowers bands until their input fits, too", () => {
  const reach = (first: number, end: number) => [first - 1, end + 1] as const;
  const bands = rowBands(holding(1000), 12, 64, { rows: 12, width: 128 }, reach);
  assert.deepEqual(bands.map(({ first, count, from, height }) => [first, count, from, height]), [
    [0, 6, 0, 7],
    [6, 6, 5, 7],
  ]);
});

/** Fails unless `work` gives the same where a binding holds `bytes` as where it holds all; `dispatches` is how many it takes. */
async function equalInParts(bytes: number, work: (rec: Recorder) => Tensor, atLeast = 2) {
  let dispatches = 0;
  const parted = await runLimited(bytes, (rec) => {
    const dispatch = rec.dispatch.bind(rec);
    rec.dispatch = (...args) => {
      dispatches++;
      dispatch(...args);
    };
    return work(rec);
  });
  assert.deepEqual(parted, await run(work));
  assert.ok(dispatches >= atLeast, `${dispatches} dispatches`);
}

Deno.test("layerNorm() takes the rows of each sample in parts", async () => {
  const [B, N, C] = [2, 192, 24];
  await equalInParts(64 * C * 4, (rec) => {
    const table = rec.upload(numbers(B * 2 * C, 2), [B, 2, C]);
    const rows = (part: number) => ({ tensor: table, stride: 2 * C, offset: part * C });
    return layerNorm(rec, rec.upload(numbers(B * N * C), [B, N, C]), { eps: 1e-6, scale: rows(0), shift: rows(1) });
  }, 6);
});

Deno.test("groupNorm() takes large images in parts", async () => {
  for (
    const [shape, groups, bytes] of [[[1, 64, 66, 32], 8, 100_000], [[2, 32, 40, 8], 4, 32_768]] as [
      number[],
      number,
      number,
    ][]
  ) {
    const size = shape.reduce((a, b) => a * b), C = shape[3];
    await equalInParts(bytes, (rec) => {
      const vector = (seed: number) => rec.upload(numbers(C, seed), [C]);
      const x = rec.upload(numbers(size), shape);
      return groupNorm(rec, x, { groups, eps: 1e-6, weight: vector(2), bias: vector(3), silu: true });
    }, 6);
  }
});

Deno.test("conv2d() takes large images in bands with the rows that they see", async () => {
  const same = { top: 1, left: 1, bottom: 1, right: 1 };
  for (
    const { height, kernel, stride, padding, upsample, residual } of [
      { height: 37, kernel: 3, stride: 1, padding: same, upsample: false, residual: true },
      { height: 19, kernel: 3, stride: 1, padding: same, upsample: true, residual: false },
      { height: 38, kernel: 3, stride: 2, padding: { ...same, top: 0, left: 0 }, upsample: false, residual: false },
      { height: 37, kernel: 1, stride: 1, padding: { top: 0, left: 0, bottom: 0, right: 0 }, residual: false },
    ] as const
  ) {
    const [B, width, CI, CO] = [2, 16, 8, 16];
    const scale = upsample ? 2 : 1, outs = [height * scale / stride, width * scale / stride];
    await equalInParts(16 * 1024, (rec) => {
      const w = rec.upload(numbers(kernel ** 2 * CI * CO, 2), [kernel ** 2 * CI, CO]);
      const x = rec.upload(numbers(B * height * width * CI), [B, height, width, CI]);
      const addTo = residual ? rec.upload(numbers(B * outs[0] * outs[1] * CO, 3), [B, ...outs, CO]) : undefined;
      const bias = rec.upload(numbers(CO, 4), [CO]);
      return conv2d(rec, x, w, { kernel, stride, padding, outChannels: CO, bias, addTo, upsample });
    }, 5);
  }
});

Deno.test("resizeAndCrop() takes large images in bands", async () => {
  for (const [inHeight, resized, height, top] of [[64, 96, 80, 9], [96, 42, 40, 2], [64, 64, 64, 0]]) {
    await equalInParts(16_384, (rec) => {
      const x = rec.upload(numbers(2 * inHeight * 40 * 3), [2, inHeight, 40, 3]);
      const options = { resizedHeight: resized, resizedWidth: 48, top, left: 5, height, width: 40 };
      return resizeAndCrop(rec, x, options);
    }, 4);
  }
});

Deno.test("blendTile() binds only the rows of a large canvas that it writes", async () => {
  await equalInParts(8192, (rec) => {
    const canvas = rec.upload(numbers(2 * 60 * 24 * 3), [2, 60, 24, 3]);
    const tile = (seed: number) => rec.upload(numbers(2 * 8 * 8 * 3, seed), [2, 8, 8, 3]);
    const place = { top: 37, left: 11, height: 7, width: 6 };
    blendTile(rec, canvas, tile(2), { above: tile(3), left: tile(4), fade: 3, place });
    return canvas;
  });
});

Deno.test("toPixels(), toImage() and countNonFinite() take large images in parts", async () => {
  const shape = [2, 32, 40, 3];
  const upload = (rec: Recorder) => rec.upload(numbers(2 * 32 * 40 * 3).map((value, i) => i % 7 ? value : NaN), shape);
  await equalInParts(4096, (rec) => toPixels(rec, upload(rec)), 8);
  await equalInParts(4096, (rec) => toImage(rec, upload(rec), "nhwc"), 8);
  await equalInParts(4096, (rec) => toImage(rec, upload(rec), "nchw"), 8);
  await equalInParts(4096, (rec) => countNonFinite(rec, upload(rec)), 8);
});
