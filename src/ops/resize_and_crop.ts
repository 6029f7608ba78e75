// resizeAndCrop: bilinear resizing and the cut of a window in one pass; pixels outside the window are never made.

import source from "../../shaders/resize_and_crop.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowBands, rowRuns } from "./row_runs.ts";

const KERNEL = { name: "resize_and_crop", source };

/** The size to resize to, and the window of it that is kept; all in pixels. */
export interface ResizeAndCropOptions {
  resizedHeight: number;
  resizedWidth: number;
  top: number;
  left: number;
  height: number;
  width: number;
}

/**
 * Resizes an image and keeps a window of it, as PyTorch's bilinear interpolation does without aligned corners and without
 * antialiasing.
 *
 * @param x [B, H, W, C] f32.
 * @returns [B, height, width, C] f32 in the recorder's scope.
 * @throws {ShapeError} when `x` is no such image, or the window does not lie inside the resized one.
 */
export function resizeAndCrop(rec: Recorder, x: Tensor, options: ResizeAndCropOptions): Tensor {
  const { resizedHeight, resizedWidth, top, left, height, width } = options;
  if (x.dtype !== "f32" || x.shape.length !== 4 || x.size === 0) {
    throw new ShapeError(`Cannot resize ${x} as it must be f32 [B, H, W, C] with elements: it is not`);
  }
  const whole = Object.values(options).every((value) => Number.isInteger(value) && value >= 0);
  if (!whole || top + height > resizedHeight || left + width > resizedWidth) {
    throw new ShapeError(
      `Cannot resize ${x} to ${resizedHeight} by ${resizedWidth} as the window must lie inside: it is ${height} by ` +
        `${width} from ${top}, ${left} on`,
    );
  }
  const [batch, inHeight, inWidth, channels] = x.shape;
  const y = rec.tensor([batch, height, width, channels]);
  const scale = inHeight / Math.max(resizedHeight, 1);
  const resize = (x: Tensor, y: Tensor, outHeight: number, firstRow: number, firstInRow: number) =>
    rec.dispatch(rec.device.kernel(KERNEL), {
      bindings: [x, y],
      params: {
        total: y.size,
        in_height: inHeight,
        in_width: inWidth,
        channels,
        out_height: outHeight,
        out_width: width,
        top: top + firstRow,
        left,
        first_in_row: firstInRow,
        scale_y: scale,
        scale_x: inWidth / Math.max(resizedWidth, 1),
      },
      groups: linearGroups(Math.ceil(y.size / 64)),
    });
  const [inRow, outRow] = [inWidth * channels, width * channels];
  if (rowRuns(rec.device, Math.max(x.size, y.size), [1]).length <= 1) {
    resize(x, y, height, 0, 0);
    return y;
  }
  // The kernel places a row in f32, so a band takes one row more on either side.
  const reach = (first: number, end: number) =>
    [Math.floor((top + first) * scale) - 2, Math.ceil((top + end) * scale) + 3] as const;
  for (let sample = 0; sample < batch; sample++) {
    for (const band of rowBands(rec.device, height, outRow, { rows: inHeight, width: inRow }, reach)) {
      const from = x.view([band.height, inWidth, channels], (sample * inHeight + band.from) * inRow);
      const to = y.view([band.count, width, channels], (sample * height + band.first) * outRow);
      resize(from, to, band.count, band.first, band.from);
    }
  }
  return y;
}
