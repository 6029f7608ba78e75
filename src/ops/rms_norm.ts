// rmsNorm: division by the root mean square of the last axis, times a learned weight (T5's layer norm).

import resultHalves from "../../shaders/result_halves.wgsl" with { type: "text" };
import resultLanes from "../../shaders/result_lanes.wgsl" with { type: "text" };
import source from "../../shaders/rms_norm.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { forReduction, lanesOf, reductionFor } from "./lane_kernels.ts";

const KERNELS = forReduction({ name: "rms_norm", source, shared: [resultLanes] });
const TO_HALVES = forReduction({ name: "rms_norm", source, shared: [resultHalves] });

/**
 * Divides every row by its root mean square and multiplies it by `weight`.
 *
 * @param x [.., C] f32.
 * @param weight [C] f32.
 * @param eps Added to the mean square.
 * @param mayBeHalves Whether the result may be halves, for a matmul that takes such; it is where C is a multiple of 4.
 * @returns [.., C] f32 in the recorder's scope; f16 where `mayBeHalves` allows it.
 * @throws {ShapeError} when `weight` is not a row of `x`.
 */
export function rmsNorm(rec: Recorder, x: Tensor, weight: Tensor, eps: number, mayBeHalves = false): Tensor {
  const columns = x.shape.at(-1) ?? 0;
  if (x.dtype !== "f32" || weight.dtype !== "f32" || weight.size !== columns || x.size === 0) {
    throw new ShapeError(
      `Cannot normalize ${x} by ${weight} as both must be f32 with the same last axis: they are not`,
    );
  }
  const rows = x.size / columns;
  const lanes = lanesOf(columns), halves = mayBeHalves && lanes === 4;
  const { kernels, workers, rows: rowsPerGroup } = reductionFor(rec.device, halves ? TO_HALVES : KERNELS);
  const y = rec.tensor(x.shape, halves ? "f16" : "f32");
  rec.dispatch(rec.device.kernel(kernels[lanes], { WORKERS: workers, ROWS: rowsPerGroup }), {
    bindings: [x, weight, y],
    params: { rows, columns, eps },
    groups: linearGroups(Math.ceil(rows / rowsPerGroup)),
  });
  return y;
}
