// resizeAndCrop: bilinear resizing and the cut of a window in one pass; pixels outside the window are never made.

import source from "../../shaders/resize_and_crop.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

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
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [x, y],
    params: {
      total: y.size,
      in_height: inHeight,
      in_width: inWidth,
      channels,
      out_height: height,
      out_width: width,
      top,
      left,
      scale_y: inHeight / Math.max(resizedHeight, 1),
      scale_x: inWidth / Math.max(resizedWidth, 1),
    },
    groups: linearGroups(Math.ceil(y.size / 64)),
  });
  return y;
}
