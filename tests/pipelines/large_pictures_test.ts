// Large pictures: memory grows with the tokens, not with their square, and no binding holds more than WebGPU grants by default. Work is
// recorded and not run, which takes all of the memory and little time; the recorder refuses bindings that are too large.

import assert from "node:assert/strict";
import {
  decoding,
  DEFAULT_LIMITS,
  paintNarrow,
  randomTransformer,
  recordedPeak,
  step,
} from "../../bench/large_pictures.ts";
import { Device } from "../../src/gpu/device.ts";
import { AutoencoderKL } from "../../src/vae/autoencoder.ts";
import { golden } from "../_weights.ts";

const MIB = 2 ** 20;
/** A block of the real width, C = 1152. */
const XL = { heads: 16, headWidth: 72, blocks: 1, captionChannels: 64 };
const WIDTH = XL.heads * XL.headWidth;

Deno.test("PixArtTransformer2DModel.predict() takes memory in proportion to the tokens, up to 4096 x 4096 pixels", async () => {
  using device = await Device.open({ limits: DEFAULT_LIMITS });
  for (const compressed of [false, true]) {
    using model = await randomTransformer(device, { ...XL, compressed });
    const peaks = [32, 64, 128, 256].map((side) => recordedPeak(device, step(model, side, 300)));
    const [small, medium, large, huge] = peaks;
    const shown = peaks.map((peak) => `${Math.round(peak / MIB)} MiB`).join(", ");
    assert.ok(small < 120 * MIB && medium < 260 * MIB, shown);
    // Of two samples the tokens, and of one at a time queries, keys and values: 5 rows of C floats a token. Beside them parts.
    const perToken = (compressed ? 3 : 5) * WIDTH * 4;
    assert.ok(huge < 65536 * perToken + 300 * MIB, shown);
    // Four times the tokens take at most four times as much more.
    assert.ok(large - medium < 4 * (medium - small) && huge - large < 4 * (large - medium), shown);
  }
});

Deno.test("AutoencoderKL.decode() takes hardly more memory for 2048 x 2048 pixels than for 512 x 512", async () => {
  using device = await Device.open({ limits: { maxStorageBufferBindingSize: 16 * MIB, maxBufferSize: 256 * MIB } });
  using vae = await AutoencoderKL.fromPretrained(golden("vae"), { device });
  const tiling = { tileSampleMinSize: 256, tileLatentMinSize: 256 / vae.scaleFactor, tileOverlapFactor: 0.25 };
  const [small, large] = [512, 2048].map((side) => recordedPeak(device, decoding(vae, side, tiling)));
  const canvas = 2048 ** 2 * 3 * 4;
  assert.ok(large < small + 1.5 * canvas, `${Math.round(small / MIB)} and ${Math.round(large / MIB)} MiB`);
});

Deno.test("PixArtSigmaPipeline.generate() paints the same picture where bindings hold less", async () => {
  const { image: parted } = await paintNarrow(256, { binding: 64 * 1024 });
  const { image } = await paintNarrow(256, { binding: DEFAULT_LIMITS.maxStorageBufferBindingSize });
  const most = parted.pixels.reduce((most, value, i) => Math.max(most, Math.abs(value - image.pixels[i])), 0);
  assert.ok(most <= 1, `${most} of 255`); // merged keys round otherwise
  assert.ok(new Set(image.pixels).size > 20, "a picture of one colour shows nothing");
});
