// toPixels, toImage: what a VAE paints, in -1..1, becomes bytes for a file or numbers in 0..1.

import pixelsSource from "../../shaders/to_pixels.wgsl" with { type: "text" };
import imageSource from "../../shaders/to_image.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const PIXELS = { name: "to_pixels", source: pixelsSource };
const IMAGE = { name: "to_image", source: imageSource };

/** Whether an image has its channels before its pixels, [B, C, H, W], or behind them, [B, H, W, C]. */
export type ImageLayout = "nchw" | "nhwc";

/**
 * Rounds an image to bytes.
 *
 * @param x [B, H, W, 3] f32; -1 is black and 1 is white, and what lies outside is cut off.
 * @returns [B, H, W] u32 in the recorder's scope: red in the lowest byte, then green, blue and an alpha of 255.
 * @throws {ShapeError} when `x` is no such image.
 */
export function toPixels(rec: Recorder, x: Tensor): Tensor {
  if (x.dtype !== "f32" || x.shape.length !== 4 || x.dim(3) !== 3) {
    throw new ShapeError(`Cannot make pixels of ${x} as it must be f32 [B, H, W, 3]: it is not`);
  }
  const y = rec.tensor(x.shape.slice(0, 3), "u32");
  rec.dispatch(rec.device.kernel(PIXELS), {
    bindings: [x, y],
    params: { total: y.size },
    groups: linearGroups(Math.ceil(y.size / 64)),
  });
  return y;
}

/**
 * Maps an image from -1..1 to 0..1, and cuts off what lies outside.
 *
 * @param x [B, H, W, C] f32.
 * @param layout Of the result.
 * @returns [B, C, H, W] or [B, H, W, C] f32 in the recorder's scope.
 * @throws {ShapeError} when `x` is no such image.
 */
export function toImage(rec: Recorder, x: Tensor, layout: ImageLayout): Tensor {
  if (x.dtype !== "f32" || x.shape.length !== 4) {
    throw new ShapeError(`Cannot make an image of ${x} as it must be f32 [B, H, W, C]: it is not`);
  }
  const [batch, height, width, channels] = x.shape;
  const first = layout === "nchw";
  const y = rec.tensor(first ? [batch, channels, height, width] : x.shape);
  rec.dispatch(rec.device.kernel(IMAGE), {
    bindings: [x, y],
    params: { total: x.size, pixels: height * width, channels, channels_first: first ? 1 : 0 },
    groups: linearGroups(Math.ceil(x.size / 64)),
  });
  return y;
}
