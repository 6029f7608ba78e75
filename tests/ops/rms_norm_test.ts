import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { rmsNorm } from "../../src/ops/rms_norm.ts";
import { device } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";
import { runBoth } from "./_portable.ts";

Deno.test("rmsNorm() divides rows by their root mean square", async () => {
  for (const shape of [[2, 6, 512], [3, 5, 37], [7, 4], [66003, 4]]) {
    const columns = shape.at(-1)!;
    const x = numbers(shape.reduce((a, b) => a * b), 1, 5), weight = numbers(columns, 2);
    const expected = new Float64Array(x.length);
    for (let base = 0; base < x.length; base += columns) {
      let square = 0;
      for (let c = 0; c < columns; c++) square += x[base + c] ** 2 / columns;
      for (let c = 0; c < columns; c++) expected[base + c] = x[base + c] / Math.sqrt(square + 1e-6) * weight[c];
    }
    const results = await runBoth((rec) => rmsNorm(rec, rec.upload(x, shape), rec.upload(weight, [columns]), 1e-6));
    for (const actual of results) assertClose(actual, expected, 2e-6, `[${shape}]`);
  }
});

Deno.test("rmsNorm() makes halves of rows in fours, and else what it always makes", async () => {
  for (const columns of [512, 37]) {
    const x = numbers(6 * columns, 1, 5), weight = numbers(columns, 2);
    const work = (rec: Recorder, halves: boolean) =>
      rmsNorm(rec, rec.upload(x, [6, columns]), rec.upload(weight, [columns]), 1e-6, halves);
    const [expected] = await runBoth((rec) => work(rec, false));
    const results = await runBoth((rec) => {
      const y = work(rec, true);
      assert.equal(y.dtype, columns === 512 ? "f16" : "f32");
      return y;
    });
    for (const actual of results) assertClose(actual, expected, 2 ** -11, `${columns}`);
  }
});

Deno.test("rmsNorm() refuses a weight of another length", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => rmsNorm(rec, rec.tensor([2, 8]), rec.tensor([7]), 1e-6), ShapeError);
});
