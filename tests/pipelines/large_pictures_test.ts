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
import { loadImage } from "../../src/io/load_image.ts";
import { denoisingBuffers, pooledBytes } from "../../src/pipelines/activation_bytes.ts";
import { AutoencoderKL } from "../../src/vae/autoencoder.ts";
import { device, openDevice, run } from "../_device.ts";
import { golden } from "../_weights.ts";

const MIB = 2 ** 20;
/** A block of the real width, C = 1152. */
const XL = { heads: 16, headWidth: 72, blocks: 1, captionChannels: 64 };
const WIDTH = XL.heads * XL.headWidth;
/** Tokens down and across of 512 to 4096 pixels a side. */
const SIDES = [32, 64, 128, 256];

Deno.test("PixArtTransformer2DModel.predict() takes memory in proportion to the tokens, up to 4096 x 4096 pixels", async () => {
  using device = await openDevice({ limits: DEFAULT_LIMITS });
  for (const compressed of [false, true]) {
    using model = await randomTransformer(device, { ...XL, compressed });
    const peaks = SIDES.map((side) => recordedPeak(device, step(model, side, 300)));
    const [small, medium, large, huge] = peaks;
    const shown = peaks.map((peak) => `${Math.round(peak / MIB)} MiB`).join(", ");
    assert.ok(small < 120 * MIB && medium < 260 * MIB, shown);
    // Of two samples the tokens, and of one at a time queries, keys and values: 5 rows of C floats a token. Beside them parts.
    const perToken = (compressed ? 3 : 5) * WIDTH * 4;
    assert.ok(huge < 65536 * perToken + 300 * MIB, shown);
    // What is planned with is no less, and not much more.
    const picture = { batch: 1, tokens: 300, captions: 2, texts: 2, steps: 1 };
    SIDES.forEach((side, i) => {
      const extent = { ...picture, height: 16 * side, width: 16 * side };
      const planned = pooledBytes([denoisingBuffers(model.config, DEFAULT_LIMITS, 8, extent)]) / MIB;
      const needed = peaks[i] / MIB;
      assert.ok(planned > needed && planned < 2 * needed, `${side}: ${planned.toFixed()} for ${needed.toFixed()} MiB`);
    });
    // Four times the tokens take at most four times as much more.
    assert.ok(large - medium < 4 * (medium - small) && huge - large < 4 * (large - medium), shown);
  }
});

Deno.test("AutoencoderKL.decode() takes hardly more memory for 2048 x 2048 pixels than for 512 x 512", async () => {
  using device = await openDevice({ limits: { maxStorageBufferBindingSize: 16 * MIB, maxBufferSize: 256 * MIB } });
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

const SIDE = 192, TILE = 128;

/** What tiles change in the decoded picture of a mosaic of apples: for each pixel and colour, in steps of 255. */
async function changedByTiles(vae: AutoencoderKL, latents: Float32Array, whole: Float32Array, overlap: number) {
  const tiling = { tileSampleMinSize: TILE, tileLatentMinSize: TILE / vae.scaleFactor, tileOverlapFactor: overlap };
  const tiled = await run((rec) => vae.decode(rec, rec.upload(latents, latentShape(vae)), { tiling }));
  return tiled.map((value, i) => (value - whole[i]) * 127.5);
}

const latentShape = (
  vae: AutoencoderKL,
) => [1, vae.config.latentChannels, SIDE / vae.scaleFactor, SIDE / vae.scaleFactor];

/** How much the change differs from one column to the next, on average over rows and colours. */
const jumps = (change: Float32Array) =>
  Array.from({ length: SIDE - 1 }, (_, x) => {
    let sum = 0;
    for (let y = 0; y < SIDE; y++) {
      for (let c = 0; c < 3; c++) sum += Math.abs(change[(y * SIDE + x + 1) * 3 + c] - change[(y * SIDE + x) * 3 + c]);
    }
    return sum / (3 * SIDE);
  });

Deno.test("AutoencoderKL.decode() in tiles leaves no seams, and hardly changes a picture", async () => {
  using vae = await AutoencoderKL.fromPretrained(golden("../../weights/emoji-64/vae"), { device, dtype: "f32" });
  const apple = await loadImage(golden("../../docs/red-apple.png"));
  const picture = new Float32Array(3 * SIDE * SIDE).map((_, i) => {
    const [c, y, x] = [Math.floor(i / SIDE ** 2), Math.floor(i / SIDE) % SIDE, i % SIDE];
    return apple.pixels[(y % apple.height * apple.width + x % apple.width) * 3 + c] / 127.5 - 1;
  });
  const moments = await run((rec) => vae.encode(rec, rec.upload(picture, [1, 3, SIDE, SIDE])));
  const [, channels, height, width] = latentShape(vae), area = height * width;
  const latents = new Float32Array(channels * area).map((_, i) =>
    moments[i % area * 2 * channels + Math.floor(i / area)]
  );
  const whole = await run((rec) => vae.decode(rec, rec.upload(latents, latentShape(vae))));
  const change = await changedByTiles(vae, latents, whole, 0.25);
  const mean = change.reduce((sum, value) => sum + Math.abs(value), 0) / change.length;
  const most = change.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  assert.ok(mean < 1 && most < 12, `mean ${mean.toFixed(2)}, at most ${most.toFixed(2)} of 255`);
  // The first tile ends where the second has faded in; without a fade a seam would be there.
  const border = TILE * 0.75 - 1;
  const typical = (all: number[]) => all.toSorted((a, b) => a - b)[all.length / 2 | 0];
  const faded = jumps(change), cut = jumps(await changedByTiles(vae, latents, whole, 0));
  const [seam, hardSeam] = [faded[border] / typical(faded), cut[TILE - 1] / typical(cut)];
  assert.ok(seam < 3, `the change jumps ${seam.toFixed(1)} times as much at the border as elsewhere`);
  assert.ok(hardSeam > 6, `a seam without fading is only ${hardSeam.toFixed(1)} times as much`);
});
