// Which of the sizes that PixArt was trained at a picture is painted at, and the geometry of getting from it to the size asked for.
// In: heights and widths in pixels. Out: a trained size, and a resize with a centre crop.

import { UsageError } from "../errors.ts";
import {
  ASPECT_RATIO_1024,
  ASPECT_RATIO_2048,
  ASPECT_RATIO_256,
  ASPECT_RATIO_2880,
  ASPECT_RATIO_512,
  type AspectRatioTable,
} from "./aspect_ratio_tables.ts";

export type { AspectRatioTable };

// The sample size is the side of the latent grid; the VAE makes 8 pixels of each of its cells.
const TABLES = new Map([
  [32, ASPECT_RATIO_256],
  [64, ASPECT_RATIO_512],
  [128, ASPECT_RATIO_1024],
  [256, ASPECT_RATIO_2048],
  [360, ASPECT_RATIO_2880],
]);

/**
 * The sizes that a transformer was trained at.
 * @param sampleSize The side of the square latent grid in its config.
 * @returns The table, or undefined when there is none for this side.
 * @example
 * ```ts
 * import { binTableFor } from "./aspect_ratio_bins.ts";
 * console.assert(binTableFor(128)?.["1.0"].join() === "1024,1024");
 * ```
 */
export function binTableFor(sampleSize: number): AspectRatioTable | undefined {
  return TABLES.get(sampleSize);
}

/**
 * The trained size whose aspect ratio is nearest to the one asked for.
 * @param height The height asked for, in pixels.
 * @param width The width asked for, in pixels.
 * @param table The sizes to choose from.
 * @returns [height, width] in pixels; of two that are equally near, the first in the table.
 * @throws {UsageError} When a size is not above 0.
 * @example
 * ```ts
 * import { classifyHeightWidthBin } from "./aspect_ratio_bins.ts";
 * import { ASPECT_RATIO_1024 } from "./aspect_ratio_tables.ts";
 * console.assert(classifyHeightWidthBin(1080, 1920, ASPECT_RATIO_1024).join() === "768,1344");
 * ```
 */
export function classifyHeightWidthBin(height: number, width: number, table: AspectRatioTable): [number, number] {
  for (const size of [height, width]) requireSize(size, `choose a trained size for ${height} x ${width} pixels`);
  const ratio = height / width;
  let [nearest, distance] = [[0, 0] as readonly [number, number], Infinity];
  for (const [key, size] of Object.entries(table)) {
    const apart = Math.abs(Number(key) - ratio);
    if (apart < distance) [nearest, distance] = [size, apart];
  }
  return [...nearest];
}

/** How a picture becomes the size that was asked for: resize (bilinear), then cut out [H, W] at [top, left]. */
export interface ResizeAndCrop {
  resizedHeight: number;
  resizedWidth: number;
  top: number;
  left: number;
}

/**
 * Plans a resize that covers the target, and the crop in its centre.
 * @param height The picture's height, in pixels.
 * @param width The picture's width, in pixels.
 * @param targetHeight The height to reach.
 * @param targetWidth The width to reach.
 * @returns The size to resize to, at least the target, and the corner to cut from; the picture's own size and [0, 0] when
 * it is of the target's size already.
 * @throws {UsageError} When a size is not above 0.
 * @example
 * ```ts
 * import { resizeAndCropPlan } from "./aspect_ratio_bins.ts";
 * const plan = resizeAndCropPlan(768, 1344, 1080, 1920);
 * console.assert(plan.resizedHeight === 1097 && plan.resizedWidth === 1920 && plan.top === 8 && plan.left === 0);
 * ```
 */
export function resizeAndCropPlan(
  height: number,
  width: number,
  targetHeight: number,
  targetWidth: number,
): ResizeAndCrop {
  const asked = `resize ${height} x ${width} pixels to ${targetHeight} x ${targetWidth}`;
  for (const size of [height, width, targetHeight, targetWidth]) requireSize(size, asked);
  const ratio = Math.max(targetHeight / height, targetWidth / width);
  // The product of a size and a rounded quotient can end just below the target, where diffusers cuts it to one pixel less.
  const resizedHeight = Math.max(Math.trunc(height * ratio), targetHeight);
  const resizedWidth = Math.max(Math.trunc(width * ratio), targetWidth);
  return {
    resizedHeight,
    resizedWidth,
    top: Math.floor((resizedHeight - targetHeight) / 2),
    left: Math.floor((resizedWidth - targetWidth) / 2),
  };
}

function requireSize(size: number, asked: string): void {
  if (!(Number.isInteger(size) && size > 0)) {
    throw new UsageError(`Cannot ${asked} as sizes must be whole and above 0: ${size}`);
  }
}
