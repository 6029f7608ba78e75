// toChannelsLast, toChannelsFirst: images between [B, C, H, W], as PyTorch has them, and [B, H, W, C], as the kernels do.

import source from "../../shaders/channels.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "channels", source };

/** Swaps the two inner axes of [B, rows, columns] into `y`. */
function swap(
  rec: Recorder,
  x: Tensor,
  y: Tensor,
  rows: number,
  columns: number,
  scale: number,
  shift: number,
): Tensor {
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [x, y],
    params: { total: x.size, rows, columns, scale, shift },
    groups: linearGroups(Math.ceil(x.size / 64)),
  });
  return y;
}

function checkImage(x: Tensor, order: string): void {
  if (x.dtype !== "f32" || x.shape.length !== 4) {
    throw new ShapeError(`Cannot move the channels of ${x} as it must be f32 ${order}: it is not`);
  }
}

/**
 * Moves the channels of an image behind its pixels, and scales and shifts its values on the way.
 *
 * @param x [B, C, H, W] f32.
 * @returns [B, H, W, C] f32 in the recorder's scope: x * scale + shift.
 * @throws {ShapeError} when `x` is no such image.
 */
export function toChannelsLast(rec: Recorder, x: Tensor, { scale = 1, shift = 0 } = {}): Tensor {
  checkImage(x, "[B, C, H, W]");
  const [batch, channels, height, width] = x.shape;
  const y = rec.tensor([batch, height, width, channels]);
  return swap(rec, x, y, channels, height * width, scale, shift);
}

/**
 * Moves the channels of an image in front of its pixels.
 *
 * @param x [B, H, W, C] f32.
 * @returns [B, C, H, W] f32 in the recorder's scope.
 * @throws {ShapeError} when `x` is no such image.
 */
export function toChannelsFirst(rec: Recorder, x: Tensor): Tensor {
  checkImage(x, "[B, H, W, C]");
  const [batch, height, width, channels] = x.shape;
  return swap(rec, x, rec.tensor([batch, channels, height, width]), height * width, channels, 1, 0);
}
