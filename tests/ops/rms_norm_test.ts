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

Deno.test("rmsNorm() refuses a weight of another length", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => rmsNorm(rec, rec.tensor([2, 8]), rec.tensor([7]), 1e-6), ShapeError);
});
