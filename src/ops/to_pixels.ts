// toPixels, toImage: what a VAE paints, in -1..1, becomes bytes for a file or numbers in 0..1.

import pixelsSource from "../../shaders/to_pixels.wgsl" with { type: "text" };
import imageSource from "../../shaders/to_image.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowRuns } from "./row_runs.ts";

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
  for (const { first, count } of rowRuns(rec.device, y.size, [3, 1])) {
    rec.dispatch(rec.device.kernel(PIXELS), {
      bindings: [x.view([count, 3], 3 * first), y.view([count], first)],
      params: { total: count },
      groups: linearGroups(Math.ceil(count / 64)),
    });
  }
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
  const pixels = height * width;
  const { device } = rec;
  const y = rec.tensor(layout === "nchw" ? [batch, channels, height, width] : x.shape);
  const map = (x: Tensor, y: Tensor, params: { pixels: number; channels_first: number; channel: number }) =>
    rec.dispatch(device.kernel(IMAGE), {
      bindings: [x, y],
      params: { total: y.size, channels, ...params },
      groups: linearGroups(Math.ceil(y.size / 64)),
    });
  const runs = rowRuns(device, x.size, [1]);
  if (layout === "nhwc") {
    for (const { first, count } of runs) {
      map(x.view([count], first), y.view([count], first), { pixels, channels_first: 0, channel: 0 });
    }
  } else if (runs.length === 1) map(x, y, { pixels, channels_first: 1, channel: 0 });
  else {
    // Plane by plane, since a run of pixels goes to as many places as there are channels.
    for (let plane = 0; plane < batch * channels; plane++) {
      const sample = Math.floor(plane / channels), channel = plane % channels;
      for (const { first, count } of rowRuns(device, pixels, [channels, 1])) {
        const from = x.view([count, channels], (sample * pixels + first) * channels);
        map(from, y.view([count], plane * pixels + first), { pixels: count, channels_first: 1, channel });
      }
    }
  }
  return y;
}
