// add: elementwise sum, the second operand repeated along the outer axes of the first.

import source from "../../shaders/add.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "add", source };

/**
 * Adds `b` to `x`.
 *
 * @param x [.., n] f32.
 * @param b [n] f32, any shape whose elements divide those of `x` evenly.
 * @param range A run of elements of `b` to use in place of all.
 * @returns [.., n] f32 in the recorder's scope.
 * @throws {ShapeError} when `b` does not repeat evenly along `x`.
 */
export function add(rec: Recorder, x: Tensor, b: Tensor, range: { start?: number; count?: number } = {}): Tensor {
  const start = range.start ?? 0, count = range.count ?? b.size - start;
  if (count < 1 || start + count > b.size || x.size % count !== 0) {
    throw new ShapeError(`Cannot add ${count} elements of ${b} to ${x} as they must repeat evenly: ${x.size} elements`);
  }
  const y = rec.tensor(x.shape);
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [x, b, y],
    params: { total: x.size, start, period: count },
    groups: linearGroups(Math.ceil(x.size / 64)),
  });
  return y;
}
