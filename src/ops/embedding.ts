// embedding: token numbers to rows of a table.

import source from "../../shaders/embedding.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "embedding", source };

/**
 * Picks a row of the table for each id. An id that the table does not have gives a row of NaN.
 *
 * @param table [V, C] f32 or f16; of a big table only the rows that occur need to be given.
 * @param ids [..] u32.
 * @returns [.., C] f32 in the recorder's scope.
 * @throws {ShapeError} when the table is no matrix of floats, or the ids are not u32.
 */
export function embedding(rec: Recorder, table: Tensor, ids: Tensor): Tensor {
  if (table.shape.length !== 2 || (table.dtype !== "f32" && table.dtype !== "f16") || ids.dtype !== "u32") {
    throw new ShapeError(`Cannot look up ${ids} in ${table} as a matrix of floats is looked up by u32: it is not`);
  }
  const [rows, columns] = table.shape;
  const y = rec.tensor([...ids.shape, columns]);
  rec.dispatch(rec.device.kernel(KERNEL, { HALVES: table.dtype === "f16" }), {
    bindings: [table, ids, y],
    params: { ids: ids.size, rows, columns },
    groups: linearGroups(Math.ceil(y.size / 64)),
  });
  return y;
}
