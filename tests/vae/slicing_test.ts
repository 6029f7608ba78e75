// A batch image by image, and how a batch is cut.

import assert from "node:assert/strict";
import type { Device } from "../../src/gpu/device.ts";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { AutoencoderKL } from "../../src/vae/autoencoder.ts";
import { activationLimit, largestActivation } from "../../src/vae/cutting.ts";
import { sliced } from "../../src/vae/slicing.ts";
import { device, openDevice, run } from "../_device.ts";
import { numbers } from "../_reference.ts";
import { golden } from "../_weights.ts";

Deno.test("AutoencoderKL.decode() gives a batch in slices the numbers that it gives it whole, tiled and not", async () => {
  using vae = await AutoencoderKL.fromPretrained(golden("vae"), { device, dtype: "f32" });
  // Samples of 4 * 6 * 9 numbers do not begin where a binding may.
  const latents = numbers(3 * 4 * 6 * 9, 1), shape = [3, 4, 6, 9];
  const tiling = { tileSampleMinSize: 4 * vae.scaleFactor, tileLatentMinSize: 4, tileOverlapFactor: 0.25 };
  for (const options of [{ scale: 2, shift: 0.5 }, { tiling }]) {
    const decode = (slicing: boolean) =>
      run((rec) => vae.decode(rec, rec.upload(latents, shape), { ...options, slicing }));
    assert.deepEqual(await decode(true), await decode(false));
  }
});

Deno.test("AutoencoderKL.encode() gives a batch in slices the numbers that it gives it whole", async () => {
  using vae = await AutoencoderKL.fromPretrained(golden("vae"), { device, dtype: "f32" });
  const shape = [3, 3, 8 * 3, 8 * 5], images = numbers(3 * 3 * 8 * 3 * 8 * 5, 1);
  const encode = (slicing: boolean) => run((rec) => vae.encode(rec, rec.upload(images, shape), { slicing }));
  assert.deepEqual(await encode(true), await encode(false));
});

Deno.test("sliced() holds one image beside the batch", () => {
  device.arena.trim();
  device.ledger.resetPeak();
  const before = device.ledger.bytes;
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const images = sliced(rec, rec.tensor([4, 4, 8, 8]), () => rec.tensor([1, 64, 64, 3]));
  rec.submit();
  assert.deepEqual(images.shape, [4, 64, 64, 3]);
  const image = 64 * 64 * 3 * 4, latents = 5 * 4 * 8 * 8 * 4;
  assert.ok(device.ledger.peak - before <= 1.25 * (5 * image + latents));
});

Deno.test("AutoencoderKL.cutFor() cuts as asked, and else only what does not fit the device", async () => {
  using vae = await AutoencoderKL.fromPretrained(golden("vae"), { device });
  const { defaultTiling: own } = vae, side = own.tileSampleMinSize;
  const most = activationLimit(device.limits) / largestActivation(vae.config, 1);
  assert.deepEqual(vae.cutFor(2, side, side), { slicing: false, tiling: undefined });
  assert.deepEqual(vae.cutFor(2, side, 2 * side, { tiling: true }), { slicing: false, tiling: own });
  assert.deepEqual(vae.cutFor(2, side, side, { tiling: true, slicing: true }), { slicing: true, tiling: undefined });
  const large = Math.floor(Math.sqrt(0.9 * most));
  assert.deepEqual(vae.cutFor(1, large, large), { slicing: false, tiling: undefined });
  assert.deepEqual(vae.cutFor(2, large, large), { slicing: true, tiling: undefined });
  assert.deepEqual(vae.cutFor(1, 2 * large, large), { slicing: true, tiling: own });
  const odd = { ...own, tileOverlapFactor: 0.5 };
  assert.deepEqual(vae.cutFor(1, side, side, { tiling: odd }), { slicing: false, tiling: odd });
});

Deno.test("AutoencoderKL.decode() gives the same bits where bindings hold a quarter of an activation", async () => {
  const latents = numbers(2 * 4 * 24 * 16, 1);
  const decode = async (device: Device) => {
    using vae = await AutoencoderKL.fromPretrained(golden("vae"), { device, dtype: "f32" });
    const rec = new Recorder(device);
    using _scope = rec.scope();
    const image = vae.decode(rec, rec.upload(latents, [2, 4, 24, 16]));
    rec.submit();
    const largest = largestActivation(vae.config, 2 * 24 * 16 * vae.scaleFactor ** 2);
    return { image: await read(device, image), largest };
  };
  const whole = await decode(device);
  using limited = await openDevice({ limits: { maxStorageBufferBindingSize: whole.largest / 4 } });
  const { image } = await decode(limited);
  assert.equal(image.findIndex((value, i) => value !== whole.image[i]), -1);
});
