// Resizing by Lanczos' windowed sinc, as Pillow does it, to the last bit: each pixel of the result weighs the ones around its
// place, and the pass along the rows rounds to bytes before the pass along the columns. In and out: 8-bit pixels.

import { Image } from "./image.ts";

const LOBES = 3;
const PRECISION = 2 ** 22; // weights are whole multiples of this part of one
const CHANNELS = 3;

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function lanczos(x: number): number {
  return Math.abs(x) < LOBES ? sinc(x) * sinc(x / LOBES) : 0;
}

/** For each pixel of a row of `size`, which pixels of a row of `from` it is made of, and their weights. */
function weights(from: number, size: number): { start: number; factors: number[] }[] {
  const scale = from / size;
  // When a picture shrinks, the window widens with it, so that every pixel counts.
  const stretch = Math.max(scale, 1);
  return Array.from({ length: size }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - LOBES * stretch + 0.5));
    const end = Math.min(from, Math.trunc(centre + LOBES * stretch + 0.5));
    const raw = Array.from({ length: end - start }, (_, j) => lanczos((start + j - centre + 0.5) / stretch));
    const sum = raw.reduce((total, weight) => total + weight, 0);
    const factors = raw.map((weight) => {
      const part = weight / sum * PRECISION;
      return Math.trunc(part < 0 ? part - 0.5 : part + 0.5);
    });
    return { start, factors };
  });
}

/** Resizes one axis of [outer, from, inner]. */
function along(pixels: Uint8Array, outer: number, from: number, inner: number, size: number): Uint8Array<ArrayBuffer> {
  if (from === size) return Uint8Array.from(pixels);
  const out = new Uint8Array(outer * size * inner);
  const all = weights(from, size);
  let to = 0;
  for (let block = 0; block < outer; block++) {
    for (const { start, factors } of all) {
      const first = (block * from + start) * inner;
      for (let i = 0; i < inner; i++) {
        let sum = PRECISION / 2;
        for (let j = 0, at = first + i; j < factors.length; j++, at += inner) sum += factors[j] * pixels[at];
        out[to++] = Math.min(Math.max(Math.floor(sum / PRECISION), 0), 255);
      }
    }
  }
  return out;
}

/**
 * Resizes a picture to exactly this size, stretching it where the shapes differ.
 *
 * @param image Any picture.
 * @returns One of `width` by `height` pixels; metadata stays.
 * @example
 * ```ts
 * import { Image } from "./image.ts";
 * import { resizeImage } from "./resize_image.ts";
 * const grey = new Image({ width: 5, height: 3, pixels: new Uint8Array(45).fill(100) });
 * const large = resizeImage(grey, 16, 8);
 * console.assert(large.width === 16 && large.pixels.every((value) => value === 100));
 * ```
 */
export function resizeImage(image: Image, width: number, height: number): Image {
  const wide = along(image.pixels, image.height, image.width, CHANNELS, width);
  const pixels = along(wide, 1, image.height, width * CHANNELS, height);
  return new Image({ width, height, pixels, metadata: image.metadata });
}
