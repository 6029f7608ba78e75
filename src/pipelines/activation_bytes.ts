// How much GPU memory the stages of a picture take beside the weights. In: configurations and the size of the picture. Out: bytes,
// somewhat above what the arena comes to. Derived from the networks: tokens times widths, each size as often as the arena holds it.

import type { TransformerConfig } from "../dit/config.ts";
import type { T5Config } from "../text/t5_config.ts";
import type { AutoencoderConfig } from "../vae/config.ts";

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
  steps: number;
}

/** The arena rounds sizes up by an eighth of their power of two at most. */
const ROUNDING = 1.125;
/** Parameters of kernels, small tables, and what is read back on the way. */
const SMALL_THINGS = 1 << 20;

/** The bytes of buffers of f32. The arena keeps freed ones for their size: sizes that come again are counted as often as at once. */
function bytesOf(buffers: readonly (readonly [floats: number, count: number])[]): number {
  const most = new Map<number, number>();
  for (const [floats, count] of buffers) most.set(floats, Math.max(count, most.get(floats) ?? 0));
  return Math.ceil([...most].reduce((sum, [floats, count]) => sum + floats * count * 4, 0) * ROUNDING);
}

/** Bytes of the embeddings that go from stage to stage. */
function embeddingBytes(width: number, { batch, tokens, captions }: PictureExtent): number {
  return bytesOf([[batch * captions * tokens * width, 1]]);
}

/** What encoding the prompts takes. */
export function encodingBytes({ dModel, dKv, dFf, numHeads }: T5Config, picture: PictureExtent): number {
  const texts = picture.batch * picture.captions * picture.tokens;
  const inner = numHeads * dKv;
  return SMALL_THINGS + embeddingBytes(dModel, picture) + bytesOf([
    [texts * dModel, 4], // the rows of the table, the residual, what is normed, and the result
    [texts * inner * 3, 1],
    [texts * inner, 1],
    [texts * dFf, 2],
  ]);
}

/** What denoising takes. */
export function denoisingBytes(config: TransformerConfig, scaleFactor: number, picture: PictureExtent): number {
  const { numAttentionHeads, attentionHeadDim, numLayers, patchSize, captionChannels, outChannels } = config;
  const { batch, captions, steps, tokens } = picture;
  const width = numAttentionHeads * attentionHeadDim;
  const latents = (picture.height / scaleFactor) * (picture.width / scaleFactor);
  const grid = latents / patchSize ** 2;
  const samples = batch * captions;
  const image = samples * grid * width, caption = samples * tokens * width;
  const held = embeddingBytes(captionChannels, picture) + bytesOf([[caption * 2, numLayers]]) +
    bytesOf([[steps * width * 6, numLayers + 1]]) +
    bytesOf([[grid * width, 1], [batch * latents * config.inChannels, 6]]);
  return SMALL_THINGS + held + bytesOf([
    [caption, 2],
    [image, 4], // the residual, what is normed, queries, and what attention gives
    [image * 3, 1],
    [image * 4, 1],
    [samples * latents * outChannels, 3],
  ]);
}

/** What decoding takes when so many pixels are decoded at once, of pictures of so many in all. */
export function decodingBytes(config: AutoencoderConfig, pixels: number, all: number): number {
  const { blockOutChannels: widths, latentChannels, outChannels } = config;
  const buffers: [number, number][] = [];
  widths.forEach((width, level) => {
    const area = pixels / 4 ** level;
    const below = widths[Math.min(level + 1, widths.length - 1)];
    buffers.push([area * below, width === below ? 3 : 2], [area * width, 3]);
    if (level === widths.length - 1) buffers.push([area * width, 7]); // attention: two of the image, q, k, v, turned, and the result
  });
  const scores = Math.min(4 << 20, (pixels / 4 ** (widths.length - 1)) ** 2);
  return SMALL_THINGS + bytesOf(buffers) + bytesOf([
    [scores, 1],
    [all * outChannels, 3], // the image, what is resized, and pixels or numbers in another order
    [all, 2], // packed pixels, and their way back
    [all / 4 ** (widths.length - 1) * latentChannels, 3],
  ]);
}
