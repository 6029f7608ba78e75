// Edges of a picture: what a ControlNet is often steered by. In: a picture. Out: one of the same size, light where colours change and
// black where they do not.

import { Image } from "./image.ts";

const CHANNELS = 3;
// What Sobel's weights make of a step from 0 to 1.
const STEP = 4;

/**
 * Draws the edges of a picture: the steepness of each colour by Sobel's weights, the largest of the three. A step from black to white
 * is white.
 *
 * @example
 * ```ts
 * import { edgeImage } from "./edge_image.ts";
 * import { Image } from "./image.ts";
 * const halves = new Image({ width: 4, height: 1, pixels: Uint8Array.from({ length: 12 }, (_, i) => i < 6 ? 0 : 255) });
 * console.assert([0, 3, 6, 9].map((at) => edgeImage(halves).pixels[at]).join() === "0,255,255,0");
 * ```
 */
export function edgeImage({ width, height, pixels }: Image): Image {
  const edges = new Uint8Array(pixels.length);
  for (let y = 0, at = 0; y < height; y++) {
    // The border goes on outside.
    const up = y > 0 ? width * CHANNELS : 0, down = y < height - 1 ? width * CHANNELS : 0;
    for (let x = 0; x < width; x++, at += CHANNELS) {
      const back = x > 0 ? CHANNELS : 0, on = x < width - 1 ? CHANNELS : 0;
      let steepest = 0;
      for (let i = at; i < at + CHANNELS; i++) {
        const [nw, n, ne] = [pixels[i - up - back], pixels[i - up], pixels[i - up + on]];
        const [w, e] = [pixels[i - back], pixels[i + on]];
        const [sw, s, se] = [pixels[i + down - back], pixels[i + down], pixels[i + down + on]];
        const across = ne + 2 * e + se - nw - 2 * w - sw, along = sw + 2 * s + se - nw - 2 * n - ne;
        steepest = Math.max(steepest, Math.hypot(across, along));
      }
      edges.fill(Math.min(255, Math.round(steepest / STEP)), at, at + CHANNELS);
    }
  }
  return new Image({ width, height, pixels: edges });
}
