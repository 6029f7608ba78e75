import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { upsampleNearest } from "../../src/ops/upsample_nearest.ts";
import { device, run } from "../_device.ts";
import { numbers } from "../_reference.ts";

Deno.test("upsampleNearest() repeats pixels", async () => {
  for (const [samples, height, width, columns, factor] of [[2, 4, 8, 16, 2], [2, 3, 5, 3, 2], [1, 2, 3, 4, 3]]) {
    const x = numbers(samples * height * width * columns, 1);
    const expected = [];
    for (let b = 0; b < samples; b++) {
      for (let i = 0; i < height * factor; i++) {
        for (let j = 0; j < width * factor; j++) {
          const pixel = (b * height + Math.floor(i / factor)) * width + Math.floor(j / factor);
          for (let c = 0; c < columns; c++) expected.push(x[pixel * columns + c]);
        }
      }
    }
    const shape = [samples, height, width, columns];
    const actual = await run((rec) => upsampleNearest(rec, rec.upload(x, shape), factor));
    assert.deepEqual(Array.from(actual), expected);
  }
});

Deno.test("upsampleNearest() refuses factors that are not whole", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => upsampleNearest(rec, rec.tensor([1, 2, 2, 4]), 1.5), ShapeError);
  assert.throws(() => upsampleNearest(rec, rec.tensor([2, 2, 4])), ShapeError);
});
