import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { samplePosterior } from "../../src/ops/sample_posterior.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("samplePosterior() adds noise by the clamped deviation, and scales", async () => {
  for (const [batch, channels, height, width] of [[1, 4, 8, 8], [3, 2, 5, 7]]) {
    const pixels = height * width, size = batch * channels * pixels;
    const moments = numbers(2 * size, 3, 4), z = numbers(size, 4);
    moments[channels] = 99; // a log-variance beyond what is believed
    moments[2 * channels + channels] = -99;
    const got = await run((rec) =>
      samplePosterior(
        rec,
        rec.upload(moments, [batch, height, width, 2 * channels]),
        rec.upload(z, [batch, channels, height, width]),
        { scale: 0.13, shift: 0.5 },
      )
    );
    const expected = Float32Array.from(z, (noise, i) => {
      const b = Math.floor(i / (channels * pixels)), c = Math.floor(i / pixels) % channels;
      const at = (b * pixels + i % pixels) * 2 * channels + c;
      const deviation = Math.exp(0.5 * Math.min(Math.max(moments[at + channels], -30), 20));
      return (moments[at] + deviation * noise - 0.5) * 0.13;
    });
    assertClose(got, expected, 1e-5, `${batch}`);
  }
});

Deno.test("samplePosterior() refuses noise that is not the latents'", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => samplePosterior(rec, rec.tensor([1, 2, 2, 8]), rec.tensor([1, 8, 2, 2])), ShapeError);
});
