// Whole networks with random weights of the released extents: one guided step of the transformer, blocks of T5-XXL, the VAE's decoder.

import { Recorder } from "../../src/gpu/recorder.ts";
import type { AutoencoderConfig } from "../../src/vae/config.ts";
import { numbers } from "../../src/tune/work.ts";
import type { Case } from "../case.ts";
import { blockFlops, CAPTION } from "./block.ts";
import { autoencoder, textEncoder, transformer } from "./random_networks.ts";

/** One step with guidance: two samples in one batch; caption and times were encoded before, once a picture. */
function stepCase(size: number): Case {
  const { config, bytes, open } = transformer(size);
  const side = size / 8, tokens = (side / 2) ** 2;
  return {
    op: "step",
    shape: `Σ XL/2 ${size} px, batch 2`,
    dtype: "f16",
    words: [String(size)],
    flops: 2 * config.numLayers * blockFlops(tokens, false),
    bytes,
    tolerance: 2e-2,
    large: size > 256,
    async open(device) {
      const model = await open(device);
      const embeds = device.upload(numbers(2 * CAPTION * 4096, 1, 0.1), [2, CAPTION, 4096]);
      const latents = device.upload(numbers(4 * side * side, 2, 1.7), [1, 4, side, side]);
      const kept = device.arena.scope();
      const rec = new Recorder(device).within(kept);
      const caption = model.encodeCaption(rec, embeds);
      const times = model.encodeTimes(rec, [500]);
      rec.submit();
      await device.settle();
      return {
        record: (rec) => model.predict(rec, latents, caption, times, { row: 0, channels: 4 }),
        [Symbol.dispose]() {
          kept.dispose();
          for (const each of [embeds, latents, model]) each.dispose();
          device.arena.trim();
        },
      };
    },
    peer: { kind: "step", extents: { tokens, blocks: config.numLayers, batch: 2 } },
  };
}

/** Blocks of T5-XXL; one has more weights than most caches hold. */
function t5Case(blocks: number): Case {
  const { config: { dModel, dFf }, bytes, open } = textEncoder(blocks, 512);
  return {
    op: "t5",
    shape: `XXL, ${blocks} of 24 blocks, ${CAPTION} tokens`,
    dtype: "f16",
    words: [],
    flops: blocks * (2 * CAPTION * dModel * (4 * dModel + 3 * dFf) + 4 * CAPTION * CAPTION * dModel),
    bytes,
    tolerance: 1e-2,
    only: blocks === 1 ? "cpu" : undefined,
    large: blocks > 1,
    async open(device) {
      const model = await open(device);
      const ids = Array.from({ length: CAPTION }, (_, i) => (i * 37) % 512);
      const rows = await model.embeddingRows(ids);
      const mask = ids.map((_, i) => i < 120 ? 1 : 0);
      return {
        record: (rec) => model.forward(rec, rows, 1, mask),
        [Symbol.dispose]() {
          model.dispose();
          device.arena.trim();
        },
      };
    },
    peer: { kind: "t5", extents: { tokens: CAPTION, blocks } },
  };
}

/** Operations of decoding h x w latents. */
function decodeFlops(config: AutoencoderConfig, side: number): number {
  const { blockOutChannels, layersPerBlock, latentChannels, outChannels } = config;
  const conv = (pixels: number, from: number, to: number, taps = 9) => 2 * pixels * taps * from * to;
  const resnet = (pixels: number, from: number, to: number) =>
    conv(pixels, from, to) + conv(pixels, to, to) + (from === to ? 0 : conv(pixels, from, to, 1));
  let pixels = side * side, width = blockOutChannels[blockOutChannels.length - 1];
  let flops = conv(pixels, latentChannels, width) + 2 * resnet(pixels, width, width);
  flops += 4 * conv(pixels, width, width, 1) + 4 * pixels * pixels * width;
  blockOutChannels.toReversed().forEach((next, i) => {
    for (let j = 0; j <= layersPerBlock; j++, width = next) flops += resnet(pixels, width, next);
    if (i === blockOutChannels.length - 1) return;
    pixels *= 4;
    flops += conv(pixels, width, width);
  });
  return flops + conv(pixels, width, outChannels);
}

function vaeCase(size: number): Case {
  const { config, bytes, open } = autoencoder();
  const side = size / 8;
  return {
    op: "vae",
    shape: `SDXL decode ${size} px`,
    dtype: "f16",
    words: [String(size)],
    flops: decodeFlops(config, side),
    bytes: bytes + 4 * 3 * size * size,
    tolerance: 1e-2,
    large: size > 256,
    async open(device) {
      const model = await open(device);
      const latents = device.upload(numbers(4 * side * side, 1, 1.7), [1, 4, side, side]);
      const { tiling } = model.cutFor(1, size, size);
      return {
        record: (rec) => model.decode(rec, latents, { tiling }),
        [Symbol.dispose]() {
          for (const each of [latents, model]) each.dispose();
          device.arena.trim();
        },
      };
    },
    peer: { kind: "vae", extents: { side } },
  };
}

/** All of them. */
export const networkCases: readonly Case[] = [
  ...[256, 512, 1024].map(stepCase),
  ...[256, 512, 1024].map(vaeCase),
  ...[1, 24].map(t5Case),
];
