import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { projectLatents } from "../../src/ops/project_latents.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("projectLatents() mixes the channels of each latent pixel", async () => {
  for (const [batch, channels, height, width] of [[1, 4, 8, 8], [3, 5, 7, 3]]) {
    const pixels = height * width;
    const x = numbers(batch * channels * pixels, 1), factors = numbers((channels + 1) * 3, 2);
    const got = await run((rec) => {
      const latents = rec.upload(x, [batch, channels, height, width]);
      return projectLatents(rec, latents, rec.upload(factors, [channels + 1, 3]), 0.7);
    });
    const expected = Float32Array.from({ length: batch * pixels * 3 }, (_, i) => {
      const sample = Math.floor(i / 3 / pixels), pixel = Math.floor(i / 3) % pixels, colour = i % 3;
      let sum = factors[channels * 3 + colour];
      for (let c = 0; c < channels; c++) {
        sum += 0.7 * x[(sample * channels + c) * pixels + pixel] * factors[c * 3 + colour];
      }
      return sum;
    });
    assertClose(got, expected, 1e-6, `[${batch}, ${channels}, ${height}, ${width}]`);
  }
});

Deno.test("projectLatents() refuses factors for another number of channels", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const latents = rec.tensor([1, 4, 2, 2]);
  assert.throws(() => projectLatents(rec, latents, rec.tensor([4, 3])), ShapeError);
  assert.throws(() => projectLatents(rec, rec.tensor([4, 2, 2]), rec.tensor([5, 3])), ShapeError);
});
