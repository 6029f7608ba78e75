// dora: rows of a weight are given the lengths that a DoRA learned for them (Liu et al., 2024, equation 5).

import source from "../../shaders/dora.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { forReduction, lanesOf, reductionFor } from "./lane_kernels.ts";

const KERNELS = forReduction({ name: "dora", source });

/**
 * Multiplies every row by `magnitude` and divides it by the length of its direction. A row whose direction is zero becomes zero.
 *
 * @param rows [N, K] f32, changed in place.
 * @param magnitude [N] f32.
 * @param direction [N, K] f32 whose rows are measured; `rows` when not given.
 * @returns `rows`.
 * @throws {ShapeError} when the three do not fit each other.
 */
export function dora(rec: Recorder, rows: Tensor, magnitude: Tensor, direction?: Tensor): Tensor {
  const [count, columns] = rows.shape;
  const fits = rows.shape.length === 2 && rows.dtype === "f32" && rows.size > 0 && magnitude.dtype === "f32" &&
    magnitude.size === count;
  if (!fits) throw new ShapeError(`Cannot give rows ${rows} the lengths ${magnitude} as each must have one, in f32`);
  if (direction && (direction.dtype !== "f32" || direction.shape.join() !== rows.shape.join())) {
    throw new ShapeError(`Cannot give rows ${rows} the lengths of ${direction} as they must be alike: they differ`);
  }
  const { kernels, workers, rows: rowsPerGroup } = reductionFor(rec.device, KERNELS);
  rec.dispatch(rec.device.kernel(kernels[lanesOf(columns)], { WORKERS: workers, ROWS: rowsPerGroup }), {
    bindings: [direction, magnitude, rows],
    params: { rows: count, columns, has_direction: direction ? 1 : 0 },
    groups: linearGroups(Math.ceil(count / rowsPerGroup)),
  });
  return rows;
}
