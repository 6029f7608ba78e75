// Pictures that the recorded runs were shown, made anew by their formula.

import { Image } from "../../src/io/image.ts";

/** A picture with edges everywhere. */
export function pattern(width: number, height: number, k: number): Image {
  const pixels = Array.from({ length: width * height }, (_, i) => {
    const x = i % width, y = Math.floor(i / width);
    return [(x * 7 + y * k) % 256, (x * y * k) % 256, (255 - 3 * x) % 256];
  });
  return new Image({ width, height, pixels: Uint8Array.from(pixels.flat()) });
}
