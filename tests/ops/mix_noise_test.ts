import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { mixNoise } from "../../src/ops/mix_noise.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("mixNoise() writes noisy latents everywhere, or where one mask or one a sample is 0", async () => {
  for (const shape of [[2, 4, 8, 8], [3, 2, 5, 7]]) {
    const [batch, channels, height, width] = shape, pixels = height * width, size = batch * channels * pixels;
    const x = numbers(size, 1), clean = numbers(size, 2), z = numbers(size, 3);
    for (const masks of [0, 1, batch]) {
      const mask = numbers(masks * pixels, 4).map((value, i) => i % 3 === 0 ? Math.abs(value) : Number(value > 0));
      const got = await run((rec) => {
        const latents = rec.upload(x, shape);
        mixNoise(rec, latents, {
          clean: rec.upload(clean, shape),
          noise: rec.upload(z, shape),
          mask: masks > 0 ? rec.upload(mask, [masks, height, width]) : undefined,
          keep: 0.8,
          add: -0.6,
        });
        return latents;
      });
      const expected = x.map((value, i) => {
        const sample = masks === batch ? Math.floor(i / (channels * pixels)) : 0;
        const m = masks === 0 ? 0 : mask[sample * pixels + i % pixels];
        return m * value + (1 - m) * (0.8 * clean[i] - 0.6 * z[i]);
      });
      assertClose(got, expected, 1e-6, `${shape}, ${masks} masks`);
    }
  }
});

Deno.test("mixNoise() refuses latents and masks of other shapes", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const x = rec.tensor([2, 4, 4, 4]);
  const mix = { clean: x, noise: x, keep: 1, add: 1 };
  assert.throws(() => mixNoise(rec, x, { ...mix, clean: rec.tensor([1, 4, 4, 4]) }), ShapeError);
  assert.throws(() => mixNoise(rec, x, { ...mix, mask: rec.tensor([3, 4, 4]) }), ShapeError);
  assert.throws(() => mixNoise(rec, x, { ...mix, mask: rec.tensor([1, 4, 8]) }), ShapeError);
});
