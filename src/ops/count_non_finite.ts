// countNonFinite: how many elements are NaN or infinite, so that a stage that went wrong can be named without another wait.

import source from "../../shaders/count_non_finite.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowRuns } from "./row_runs.ts";

const KERNEL = { name: "count_non_finite", source };
const MAX_GROUPS = 1024;

/** Where a count goes. */
export interface CountPlace {
  /** [m] u32. */
  counts: Tensor;
  /** Which of them it is added to. */
  at: number;
}

/**
 * Counts the elements that are NaN or infinite.
 *
 * @param x f32 of any shape.
 * @param place Among other counts, where not in a new tensor.
 * @returns [1] u32 in the recorder's scope, or the counts of the place.
 * @throws {ShapeError} when `x` is not f32, or there is no such place.
 */
export function countNonFinite(rec: Recorder, x: Tensor, place?: CountPlace): Tensor {
  if (x.dtype !== "f32") throw new ShapeError(`Cannot count what is not finite in ${x} as it must be f32: it is not`);
  const { counts, at } = place ?? { counts: rec.upload(new Uint32Array(1), [1]), at: 0 };
  if (counts.dtype !== "u32" || !(at >= 0 && at < counts.size)) {
    throw new ShapeError(`Cannot count what is not finite in ${x} at ${at} of ${counts} as that must be a u32 in it`);
  }
  for (const run of rowRuns(rec.device, x.size, [1])) {
    rec.dispatch(rec.device.kernel(KERNEL), {
      bindings: [x.view([run.count], run.first), counts],
      params: { total: run.count, at },
      groups: [Math.min(Math.ceil(run.count / 64), MAX_GROUPS)],
    });
  }
  return counts;
}
