// upsampleNearest: images enlarged by repeating pixels. Where a convolution follows, its `upsample` does the same for less.

import source from "../../shaders/upsample_nearest.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { forLanes, lanesOf } from "./lane_kernels.ts";

const KERNELS = forLanes({ name: "upsample_nearest", source });

/**
 * Repeats each pixel `factor` times along both axes.
 *
 * @param x [B, H, W, C] f32.
 * @returns [B, H * factor, W * factor, C] f32 in the recorder's scope.
 * @throws {ShapeError} when `x` is not [B, H, W, C], or `factor` is not a whole number from 1 on.
 */
export function upsampleNearest(rec: Recorder, x: Tensor, factor = 2): Tensor {
  if (x.dtype !== "f32" || x.shape.length !== 4) {
    throw new ShapeError(`Cannot enlarge ${x} as it must be f32 [B, H, W, C]: it is not`);
  }
  if (!Number.isInteger(factor) || factor < 1) {
    throw new ShapeError(`Cannot enlarge ${x} as the factor must be a whole number from 1 on: ${factor}`);
  }
  const [samples, height, width, columns] = x.shape;
  const y = rec.tensor([samples, height * factor, width * factor, columns]);
  const lanes = lanesOf(columns);
  rec.dispatch(rec.device.kernel(KERNELS[lanes]), {
    bindings: [x, y],
    params: { factor, width, columns, total: y.size },
    groups: linearGroups(Math.ceil(y.size / lanes / 64)),
  });
  return y;
}
