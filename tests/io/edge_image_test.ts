import assert from "node:assert/strict";
import { edgeImage } from "../../src/io/edge_image.ts";
import { Image } from "../../src/io/image.ts";

/** A picture of a colour for each pixel. */
function painted(width: number, height: number, colour: (x: number, y: number) => number[]): Image {
  const pixels = Array.from({ length: width * height }, (_, i) => colour(i % width, Math.floor(i / width)));
  return new Image({ width, height, pixels: Uint8Array.from(pixels.flat()) });
}

/** The definition: both of Sobel's kernels over a picture whose border goes on outside. */
function naive({ width, height, pixels }: Image): number[] {
  const at = (x: number, y: number, c: number) =>
    pixels[3 * (Math.min(Math.max(y, 0), height - 1) * width + Math.min(Math.max(x, 0), width - 1)) + c];
  const weights = [1, 2, 1], signs = [-1, 0, 1];
  return Array.from({ length: width * height }, (_, i) => {
    const x = i % width, y = Math.floor(i / width);
    const steep = [0, 1, 2].map((c) => {
      let across = 0, along = 0;
      signs.forEach((sign, p) =>
        weights.forEach((weight, q) => {
          across += sign * weight * at(x + p - 1, y + q - 1, c);
          along += sign * weight * at(x + q - 1, y + p - 1, c);
        })
      );
      return Math.sqrt(across ** 2 + along ** 2) / 4;
    });
    return Math.min(255, Math.round(Math.max(...steep)));
  });
}

Deno.test("edgeImage() draws the steepest of the three colours at every pixel", () => {
  const pictures = [
    painted(9, 7, (x, y) => [x * 28, (y * 40) % 256, (x * y * 53) % 256]),
    painted(8, 8, (x) => x < 4 ? [200, 0, 0] : [0, 0, 200]),
    painted(1, 5, (_, y) => [y * 50, 0, 0]),
    painted(1, 1, () => [9, 9, 9]),
  ];
  for (const picture of pictures) {
    const { width, height, pixels } = edgeImage(picture);
    assert.deepEqual([width, height], [picture.width, picture.height]);
    assert.deepEqual([...pixels], naive(picture).flatMap((edge) => [edge, edge, edge]));
  }
});
