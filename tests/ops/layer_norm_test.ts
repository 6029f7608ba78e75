import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { layerNorm } from "../../src/ops/layer_norm.ts";
import { device } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";
import { runBoth } from "./_portable.ts";

/** Rows of `columns`, normalised, then `factor(sample, column) * row + term(sample, column)`. */
function reference(
  x: Float32Array,
  [samples, rows, columns]: number[],
  eps: number,
  factor: (sample: number, column: number) => number,
  term: (sample: number, column: number) => number,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let row = 0; row < samples * rows; row++) {
    const sample = Math.floor(row / rows), base = row * columns;
    let mean = 0, variance = 0;
    for (let c = 0; c < columns; c++) mean += x[base + c] / columns;
    for (let c = 0; c < columns; c++) variance += (x[base + c] - mean) ** 2 / columns;
    for (let c = 0; c < columns; c++) {
      y[base + c] = (x[base + c] - mean) / Math.sqrt(variance + eps) * factor(sample, c) + term(sample, c);
    }
  }
  return y;
}

const SHAPES = [[2, 8, 1152], [3, 5, 37], [1, 1, 4], [2, 9, 70]];

Deno.test("layerNorm() modulates each sample by rows of a table", async () => {
  for (const shape of SHAPES) {
    const [samples, , columns] = shape;
    const x = numbers(shape[0] * shape[1] * columns, 1).map((value) => value * 3 + 0.5);
    const table = numbers(samples * 6 * columns, 2);
    const at = (slot: number) => (sample: number, c: number) => table[sample * 6 * columns + slot * columns + c];
    const expected = reference(x, shape, 1e-6, (b, c) => 1 + at(1)(b, c), at(0));
    const results = await runBoth((rec) => {
      const tensor = rec.upload(table, [samples, 6, columns]);
      const slot = (index: number) => ({ tensor, stride: 6 * columns, offset: index * columns });
      return layerNorm(rec, rec.upload(x, shape), { eps: 1e-6, shift: slot(0), scale: slot(1) });
    });
    for (const actual of results) assertClose(actual, expected, 1e-5, `[${shape}]`);
  }
});

Deno.test("layerNorm() makes halves of rows in fours, and else what it always makes", async () => {
  for (const shape of SHAPES) {
    const x = numbers(shape[0] * shape[1] * shape[2], 1);
    const expected = reference(x, shape, 1e-6, () => 1, () => 0);
    const results = await runBoth((rec) => {
      const y = layerNorm(rec, rec.upload(x, shape), { eps: 1e-6, halves: true });
      assert.equal(y.dtype, shape[2] % 4 === 0 ? "f16" : "f32");
      return y;
    });
    for (const actual of results) assertClose(actual, expected, 2 ** -11, `[${shape}]`);
  }
});

Deno.test("layerNorm() applies learned weights, a bias alone, or nothing", async () => {
  for (const shape of SHAPES) {
    const columns = shape[2];
    const x = numbers(shape[0] * shape[1] * columns, 1);
    const weight = numbers(columns, 2), bias = numbers(columns, 3);
    for (const [hasWeight, hasBias] of [[true, true], [false, true], [false, false]]) {
      const expected = reference(
        x,
        shape,
        1e-5,
        (_, c) => hasWeight ? weight[c] : 1,
        (_, c) => hasBias ? bias[c] : 0,
      );
      const results = await runBoth((rec) =>
        layerNorm(rec, rec.upload(x, shape), {
          eps: 1e-5,
          weight: hasWeight ? rec.upload(weight, [columns]) : undefined,
          bias: hasBias ? rec.upload(bias, [columns]) : undefined,
        })
      );
      for (const actual of results) assertClose(actual, expected, 1e-5, `[${shape}]`);
    }
  }
});

Deno.test("layerNorm() keeps its digits when the mean is far larger than the deviation", async () => {
  const shape = [1, 3, 1152];
  const x = numbers(3 * 1152, 1).map((value) => value + 4096);
  const expected = reference(x, shape, 1e-6, () => 1, () => 0);
  const results = await runBoth((rec) => layerNorm(rec, rec.upload(x, shape), { eps: 1e-6 }));
  for (const actual of results) assertClose(actual, expected, 1e-3);
});

Deno.test("layerNorm() normalises more rows than one axis of a dispatch holds", async () => {
  const shape = [1, 70001, 4];
  const x = numbers(70001 * 4, 1);
  const expected = reference(x, shape, 1e-6, () => 1, () => 0);
  const results = await runBoth((rec) => layerNorm(rec, rec.upload(x, shape), { eps: 1e-6 }));
  for (const actual of results) assertClose(actual, expected, 1e-5);
});

Deno.test("layerNorm() refuses tables that are too short and two kinds of scale", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const x = rec.tensor([2, 3, 8]), tensor = rec.tensor([2, 16]), weight = rec.tensor([8]);
  const eps = 1e-6;
  layerNorm(rec, x, { eps, scale: { tensor, stride: 16, offset: 8 } });
  assert.throws(() => layerNorm(rec, x, { eps, scale: { tensor, stride: 16, offset: 9 } }), ShapeError);
  assert.throws(() => layerNorm(rec, x, { eps, scale: { tensor, stride: 16, offset: 8 }, weight }), ShapeError);
  assert.throws(() => layerNorm(rec, x, { eps, bias: rec.tensor([7]) }), /f32\[2, 3, 8\].*shift.*f32\[7\]/);
  assert.throws(() => layerNorm(rec, rec.tensor([6, 8]), { eps }), ShapeError);
});
