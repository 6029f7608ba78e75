// embedding: gathers rows of a table, such as the vectors of tokens.

import source from "../../shaders/embedding.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "embedding", source };

/**
 * Gathers rows of a table.
 *
 * @param table [V, C] f32; of a big table only the rows that occur need to be given.
 * @param ids u32 of any shape, below V; larger ones take the last row.
 * @returns [.., C] f32 in the recorder's scope.
 * @throws {ShapeError} when the table is not a matrix of f32, or the ids are not u32.
 */
export function embedding(rec: Recorder, table: Tensor, ids: Tensor): Tensor {
  if (table.dtype !== "f32" || table.shape.length !== 2 || table.size === 0 || ids.dtype !== "u32") {
    throw new ShapeError(`Cannot gather rows of ${table} by ${ids} as they must be f32 [V, C] and u32: they are not`);
  }
  const [rows, columns] = table.shape;
  const y = rec.tensor([...ids.shape, columns]);
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [table, ids, y],
    params: { total: y.size, columns, rows },
    groups: linearGroups(Math.ceil(y.size / 64)),
  });
  return y;
}
