// How images are cut for a device. In: an autoencoder's extents, what an activation may take, a batch of images. Out: whether they are decoded
// one by one, and in which tiles. Pure numbers, so that it can be asked before there is a device.

import type { MemoryLimits } from "../gpu/device.ts";
import { type AutoencoderConfig, scaleFactorOf } from "./config.ts";
import { defaultTiling, type Tiling } from "./tiling.ts";

/** A batch of images, in pixels. */
export interface ImageBatch {
  batch: number;
  height: number;
  width: number;
}

/** What the caller asks for; `true` stands for the autoencoder's own tiles. */
export interface AskedCut {
  tiling?: boolean | Tiling;
  slicing?: boolean;
}

/** How images are cut: `slicing` goes image by image, and tiles are within each. */
export interface ImageCut {
  slicing: boolean;
  tiling?: Tiling;
}

/** Bytes of the largest activation of an image of so many pixels. */
export function largestActivation({ blockOutChannels }: AutoencoderConfig, pixels: number): number {
  // Full-size images have as many channels as the two outermost levels; the level below is a quarter of the size.
  return pixels * Math.max(...blockOutChannels.slice(0, 2)) * 4;
}

/** The largest buffer that every device grants. */
const DEFAULT_BUFFER = 256 << 20;

/** What an activation may take on a device: a binding, or where that is less, a default buffer, through which ops go by runs of rows. */
export function activationLimit({ maxBufferSize, maxStorageBufferBindingSize }: MemoryLimits): number {
  return Math.min(maxBufferSize, Math.max(maxStorageBufferBindingSize, DEFAULT_BUFFER));
}

/**
 * Cuts images as asked, and where they do not fit the device whole, image by image, then tile by tile. As in diffusers, an image no
 * larger than a tile is not cut; tiles are smaller than there only where those do not fit.
 *
 * @param most Bytes that an activation may take: `activationLimit`.
 */
export function cutImages(
  config: AutoencoderConfig,
  most: number,
  { batch, height, width }: ImageBatch,
  { tiling, slicing = false }: AskedCut = {},
): ImageCut {
  if (typeof tiling === "object") return { slicing, tiling };
  const scaleFactor = scaleFactorOf(config);
  const side = config.sampleSize;
  const isCut = tiling && Math.max(height, width) > side;
  const [down, across] = isCut ? [Math.min(height, side), Math.min(width, side)] : [height, width];
  const asked = isCut ? defaultTiling(side, scaleFactor) : undefined;
  const fitsWhole = (images: number) => largestActivation(config, images * down * across) <= most;
  if (fitsWhole(slicing ? 1 : batch)) return { slicing, tiling: asked };
  if (fitsWhole(1)) return { slicing: true, tiling: asked };
  const step = 4 * scaleFactor; // so that a quarter of a tile, the overlap, is whole latent pixels
  const fitting = Math.floor(Math.sqrt(most / largestActivation(config, 1)) / step) * step;
  return { slicing: true, tiling: defaultTiling(Math.min(side, fitting), scaleFactor) };
}
