// countNonFinite: how many elements are NaN or infinite, so that a stage that went wrong can be named without another wait.

import source from "../../shaders/count_non_finite.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowRuns } from "./row_runs.ts";

const KERNEL = { name: "count_non_finite", source };
const MAX_GROUPS = 1024;

/**
 * Counts the elements that are NaN or infinite.
 *
 * @param x f32 of any shape.
 * @returns [1] u32 in the recorder's scope.
 * @throws {ShapeError} when `x` is not f32.
 */
export function countNonFinite(rec: Recorder, x: Tensor): Tensor {
  if (x.dtype !== "f32") throw new ShapeError(`Cannot count what is not finite in ${x} as it must be f32: it is not`);
  const count = rec.upload(new Uint32Array(1), [1]);
  for (const run of rowRuns(rec.device, x.size, [1])) {
    rec.dispatch(rec.device.kernel(KERNEL), {
      bindings: [x.view([run.count], run.first), count],
      params: { total: run.count },
      groups: [Math.min(Math.ceil(run.count / 64), MAX_GROUPS)],
    });
  }
  return count;
}
