// How much GPU memory the stages of a picture take beside the weights. In: configurations and the size of the picture. Out: the buffers
// that exist at once, and bytes, somewhat above what the arena comes to. Derived from the networks: tokens times widths.

import type { TransformerConfig } from "../dit/config.ts";
import { transformerPlaces } from "../dit/token_parts.ts";
import { bestKept, sizeClass } from "../gpu/arena.ts";
import type { MemoryLimits } from "../gpu/device.ts";
import type { T5Config } from "../text/t5_config.ts";
import { type AutoencoderConfig, scaleFactorOf } from "../vae/config.ts";
import type { ImageCut } from "../vae/cutting.ts";
import { tileLengths } from "../vae/tiling.ts";

/** What is painted at once. */
export interface PictureExtent {
  /** Pictures at once. */
  batch: number;
  /** Pixels. */
  height: number;
  width: number;
  /** Tokens of a prompt. */
  tokens: number;
  /** Captions that each picture is asked with: two with guidance, three with perturbed attention, too. */
  captions: number;
  /** Different captions of all pictures. */
  texts: number;
  steps: number;
  /** Blocks that a ControlNet copies, where one steers. */
  copies?: number;
  /** Pixels of each picture in the end, where it is resized. */
  resultPixels?: number;
}

/** Buffers of f32 that exist at once: floats, and how many of that size. */
export type Buffers = readonly (readonly [floats: number, count: number])[];

/** Parameters of kernels, small tables, and what is read back on the way. */
const SMALL_THINGS = 1 << 20;

/** Bytes of buffers that exist at once, phase after phase. The arena keeps those of earlier phases and gives them again if they fit. */
export function pooledBytes(phases: readonly Buffers[]): number {
  const pool: { size: number }[] = [];
  for (const buffers of phases) {
    const kept = [...pool];
    for (const [floats, count] of buffers) {
      const size = sizeClass(floats * 4);
      for (let i = 0; i < count; i++) {
        const found = bestKept(kept, size);
        if (found >= 0) kept.splice(found, 1);
        else pool.push({ size });
      }
    }
  }
  return pool.reduce((sum, { size }) => sum + size, SMALL_THINGS);
}

/** The embeddings that go from stage to stage: each different one, and those of the pictures. */
export function embeddingBuffers(width: number, { batch, tokens, captions, texts }: PictureExtent): Buffers {
  return [[texts * tokens * width, 1], [batch * captions * tokens * width, 1]];
}

/** How many texts of so many tokens are encoded at once: what the encoder makes of them on the way must fit one binding. */
export function textsAtOnce({ dFf, numHeads, dKv }: T5Config, limits: MemoryLimits, tokens: number): number {
  const widest = Math.max(dFf, 3 * numHeads * dKv);
  return Math.max(1, Math.floor(limits.maxStorageBufferBindingSize / (tokens * widest * 4)));
}

/** What encoding the prompts takes. */
export function encodingBuffers(config: T5Config, limits: MemoryLimits, picture: PictureExtent): Buffers {
  const { dModel, dKv, dFf, numHeads } = config;
  const texts = Math.min(picture.texts, textsAtOnce(config, limits, picture.tokens)) * picture.tokens;
  const inner = numHeads * dKv;
  return [
    ...embeddingBuffers(dModel, picture),
    [texts * dModel, 4], // the rows of the table, the residual, what is normed, and the result
    [texts * inner * 3, 1],
    [texts * inner, 1],
    [texts * dFf, 2],
  ];
}

/** What denoising takes: tokens that a binding cannot hold go through the network in parts, sample by sample. */
export function denoisingBuffers(
  config: TransformerConfig,
  limits: MemoryLimits,
  scaleFactor: number,
  picture: PictureExtent,
): Buffers {
  const { numAttentionHeads, attentionHeadDim, numLayers, patchSize, captionChannels, outChannels } = config;
  const { batch, captions, steps, tokens, copies = 0 } = picture;
  const width = numAttentionHeads * attentionHeadDim;
  const latents = (picture.height / scaleFactor) * (picture.width / scaleFactor);
  const grid = latents / patchSize ** 2;
  const samples = batch * captions;
  const caption = samples * tokens * width;
  const places = transformerPlaces(limits, config, [samples, grid], picture.width / (scaleFactor * patchSize));
  const part = Math.max(...places.map(({ samples, count }) => samples * count)) * width;
  const ofSample = places.filter(({ sample }) => sample === 0).length;
  return [
    ...embeddingBuffers(captionChannels, picture),
    [caption * 2, numLayers + copies],
    [steps * width * 6, 1],
    [(numLayers + copies) * width * 6, 2], // the tables of all blocks, and their sums with a step's row
    [batch * latents * config.inChannels, 6],
    [caption, 2],
    [part, places.length + 3], // the residual, what is normed, queries, and what attention gives
    ...(copies > 0 ? [[part, places.length + 2], [batch * grid * width, 2]] as const : []), // the copies' tokens, and the hint
    [part * 3, ofSample],
    [part * 4, 1],
    [samples * latents * outChannels, 3],
  ];
}

/** What the autoencoder holds of an image of so many pixels on its way. */
function levelBuffers({ blockOutChannels: widths }: AutoencoderConfig, pixels: number): Buffers {
  // One level is at work at a time, so that a size of several levels is counted as often as at once.
  const most = new Map<number, number>();
  const atOnce = (floats: number, count: number) => most.set(floats, Math.max(count, most.get(floats) ?? 0));
  widths.forEach((width, level) => {
    const area = pixels / 4 ** level;
    const below = widths[Math.min(level + 1, widths.length - 1)];
    atOnce(area * below, width === below ? 3 : 2);
    atOnce(area * width, 3);
    if (level === widths.length - 1) atOnce(area * width, 7); // attention: two of the image, q, k, v, turned, and the result
  });
  return [...most, [Math.min(4 << 20, (pixels / 4 ** (widths.length - 1)) ** 2), 1]];
}

/**
 * What decoding takes, and no less than what encoding takes: the same levels, with one residual block more in each.
 *
 * @param cut How the pictures are cut. Tiles at the edges are smaller, and have buffers of their own.
 * @returns One phase for each size of tile.
 */
export function decodingPhases(config: AutoencoderConfig, picture: PictureExtent, cut: ImageCut): Buffers[] {
  const { latentChannels, outChannels } = config;
  const { batch, height, width } = picture;
  const factor = scaleFactorOf(config);
  const samples = cut.slicing ? 1 : batch;
  const all = batch * height * width, result = batch * (picture.resultPixels ?? height * width);
  const lengths = (pixels: number) => cut.tiling ? tileLengths(pixels / factor, cut.tiling) : [pixels / factor];
  const rows = lengths(height), columns = lengths(width);
  const held: Buffers = [
    [all * outChannels, 1],
    [result * outChannels, 2], // what is resized, and pixels or numbers in another order
    [result, 2], // packed pixels, and their way back
    [all / factor ** 2 * latentChannels, 3],
  ];
  // A row of decoded tiles, and the one that follows below.
  const line: Buffers = (cut.tiling ? [...columns, columns[0]] : []).map((column) => {
    return [samples * rows[0] * column * factor ** 2 * outChannels, 1];
  });
  return [...new Set(rows)].flatMap((row) =>
    [...new Set(columns)].map((column) => [
      ...levelBuffers(config, samples * row * column * factor ** 2),
      ...held,
      ...line,
    ])
  );
}
