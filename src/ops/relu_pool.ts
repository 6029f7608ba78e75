// reluPool: ReLU of images, and max-pooling with it.

import source from "../../shaders/relu_pool.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { forLanes, lanesOf } from "./lane_kernels.ts";
import { rowRuns } from "./row_runs.ts";

const KERNELS = forLanes({ name: "relu_pool", source });

/**
 * The largest of each `side` by `side` pixels, and 0 where all are below: ReLU and then max-pooling. A side of 1 is ReLU alone.
 *
 * @param x [1, H, W, C] f32; rows and columns that do not fill a square are left out.
 * @returns [1, H / side, W / side, C] f32 in the recorder's scope.
 * @throws {ShapeError} when `x` is no such image, or smaller than a square.
 */
export function reluPool(rec: Recorder, x: Tensor, side: 1 | 2): Tensor {
  const [batch, inHeight, inWidth, columns] = x.shape;
  const height = Math.floor(inHeight / side), width = Math.floor(inWidth / side);
  if (x.dtype !== "f32" || x.shape.length !== 4 || batch !== 1 || !(height * width * columns > 0)) {
    throw new ShapeError(`Cannot pool ${x} by ${side} as it must be f32 [1, H, W, C] of at least that size: it is not`);
  }
  const y = rec.tensor([1, height, width, columns]);
  const lanes = lanesOf(columns);
  const [inRow, outRow] = [side * inWidth * columns, width * columns];
  for (const { first, count } of rowRuns(rec.device, height, [inRow, outRow])) {
    const part = y.view([count, width, columns], first * outRow);
    rec.dispatch(rec.device.kernel(KERNELS[lanes]), {
      bindings: [x.view([count * side, inWidth, columns], first * inRow), part],
      params: { side, in_width: inWidth, width, columns, total: part.size },
      groups: linearGroups(Math.ceil(part.size / lanes / 64)),
    });
  }
  return y;
}
