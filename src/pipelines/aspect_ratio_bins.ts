// The sizes that PixArt was trained at, and the geometry of getting from one of them to the size that was asked for.
// In: heights and widths in pixels. Out: a trained size, and a resize with a centre crop.

import { UsageError } from "../errors.ts";

/** Trained sizes [height, width] in pixels by their aspect ratio, height over width; the order of the keys breaks ties. */
export type AspectRatioTable = Readonly<Record<string, readonly [height: number, width: number]>>;

/** The sizes of about 256 x 256 pixels, as diffusers' pipelines have them. */
export const ASPECT_RATIO_256: AspectRatioTable = {
  "0.25": [128, 512],
  "0.28": [128, 464],
  "0.32": [144, 448],
  "0.33": [144, 432],
  "0.35": [144, 416],
  "0.4": [160, 400],
  "0.42": [160, 384],
  "0.48": [176, 368],
  "0.5": [176, 352],
  "0.52": [176, 336],
  "0.57": [192, 336],
  "0.6": [192, 320],
  "0.68": [208, 304],
  "0.72": [208, 288],
  "0.78": [224, 288],
  "0.82": [224, 272],
  "0.88": [240, 272],
  "0.94": [240, 256],
  "1.0": [256, 256],
  "1.07": [256, 240],
  "1.13": [272, 240],
  "1.21": [272, 224],
  "1.29": [288, 224],
  "1.38": [288, 208],
  "1.46": [304, 208],
  "1.67": [320, 192],
  "1.75": [336, 192],
  "2.0": [352, 176],
  "2.09": [368, 176],
  "2.4": [384, 160],
  "2.5": [400, 160],
  "3.0": [432, 144],
  "4.0": [512, 128],
};

/** The sizes of about 512 x 512 pixels, as diffusers' pipelines have them. */
export const ASPECT_RATIO_512: AspectRatioTable = {
  "0.25": [256, 1024],
  "0.28": [256, 928],
  "0.32": [288, 896],
  "0.33": [288, 864],
  "0.35": [288, 832],
  "0.4": [320, 800],
  "0.42": [320, 768],
  "0.48": [352, 736],
  "0.5": [352, 704],
  "0.52": [352, 672],
  "0.57": [384, 672],
  "0.6": [384, 640],
  "0.68": [416, 608],
  "0.72": [416, 576],
  "0.78": [448, 576],
  "0.82": [448, 544],
  "0.88": [480, 544],
  "0.94": [480, 512],
  "1.0": [512, 512],
  "1.07": [512, 480],
  "1.13": [544, 480],
  "1.21": [544, 448],
  "1.29": [576, 448],
  "1.38": [576, 416],
  "1.46": [608, 416],
  "1.67": [640, 384],
  "1.75": [672, 384],
  "2.0": [704, 352],
  "2.09": [736, 352],
  "2.4": [768, 320],
  "2.5": [800, 320],
  "3.0": [864, 288],
  "4.0": [1024, 256],
};

/** The sizes of about 1024 x 1024 pixels, as diffusers' pipelines have them. */
export const ASPECT_RATIO_1024: AspectRatioTable = {
  "0.25": [512, 2048],
  "0.28": [512, 1856],
  "0.32": [576, 1792],
  "0.33": [576, 1728],
  "0.35": [576, 1664],
  "0.4": [640, 1600],
  "0.42": [640, 1536],
  "0.48": [704, 1472],
  "0.5": [704, 1408],
  "0.52": [704, 1344],
  "0.57": [768, 1344],
  "0.6": [768, 1280],
  "0.68": [832, 1216],
  "0.72": [832, 1152],
  "0.78": [896, 1152],
  "0.82": [896, 1088],
  "0.88": [960, 1088],
  "0.94": [960, 1024],
  "1.0": [1024, 1024],
  "1.07": [1024, 960],
  "1.13": [1088, 960],
  "1.21": [1088, 896],
  "1.29": [1152, 896],
  "1.38": [1152, 832],
  "1.46": [1216, 832],
  "1.67": [1280, 768],
  "1.75": [1344, 768],
  "2.0": [1408, 704],
  "2.09": [1472, 704],
  "2.4": [1536, 640],
  "2.5": [1600, 640],
  "3.0": [1728, 576],
  "4.0": [2048, 512],
};

/** The sizes of about 2048 x 2048 pixels, as diffusers' pipelines have them. */
export const ASPECT_RATIO_2048: AspectRatioTable = {
  "0.25": [1024, 4096],
  "0.26": [1024, 3968],
  "0.27": [1024, 3840],
  "0.28": [1024, 3712],
  "0.32": [1152, 3584],
  "0.33": [1152, 3456],
  "0.35": [1152, 3328],
  "0.4": [1280, 3200],
  "0.42": [1280, 3072],
  "0.48": [1408, 2944],
  "0.5": [1408, 2816],
  "0.52": [1408, 2688],
  "0.57": [1536, 2688],
  "0.6": [1536, 2560],
  "0.68": [1664, 2432],
  "0.72": [1664, 2304],
  "0.78": [1792, 2304],
  "0.82": [1792, 2176],
  "0.88": [1920, 2176],
  "0.94": [1920, 2048],
  "1.0": [2048, 2048],
  "1.07": [2048, 1920],
  "1.13": [2176, 1920],
  "1.21": [2176, 1792],
  "1.29": [2304, 1792],
  "1.38": [2304, 1664],
  "1.46": [2432, 1664],
  "1.67": [2560, 1536],
  "1.75": [2688, 1536],
  "2.0": [2816, 1408],
  "2.09": [2944, 1408],
  "2.4": [3072, 1280],
  "2.5": [3200, 1280],
  "2.89": [3328, 1152],
  "3.0": [3456, 1152],
  "3.11": [3584, 1152],
  "3.62": [3712, 1024],
  "3.75": [3840, 1024],
  "3.88": [3968, 1024],
  "4.0": [4096, 1024],
};

// The sample size is the side of the latent grid; the VAE makes 8 pixels of each of its cells.
const TABLES = new Map([[32, ASPECT_RATIO_256], [64, ASPECT_RATIO_512], [128, ASPECT_RATIO_1024], [
  256,
  ASPECT_RATIO_2048,
]]);

/**
 * The sizes that a transformer was trained at.
 * @param sampleSize The side of the square latent grid in its config.
 * @returns The table, or undefined when there is none for this side.
 * @example
 * ```ts
 * import { binTableFor } from "./src/pipelines/aspect_ratio_bins.ts";
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
 * import { ASPECT_RATIO_1024, classifyHeightWidthBin } from "./src/pipelines/aspect_ratio_bins.ts";
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
 * import { resizeAndCropPlan } from "./src/pipelines/aspect_ratio_bins.ts";
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
