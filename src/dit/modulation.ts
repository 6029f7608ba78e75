// adaLN-single: what modulates a layer is a row of numbers that all layers share, made of the time, plus a table of the layer's own.
// In: the rows of all times, the tables of all layers. Out: for each layer its shifts, scales and gates of one time, or of each sample's.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { add } from "../ops/add.ts";
import type { TableRows } from "../ops/layer_norm.ts";

/** Tables laid one behind the other, as one tensor in the recorder's scope. */
export function joinTables(rec: Recorder, tables: readonly Tensor[]): Tensor {
  const { size } = tables[0];
  const joined = rec.tensor([tables.length, size]);
  tables.forEach((table, i) => rec.copy(table, joined.view(table.shape, i * size)));
  return joined;
}

/**
 * Adds the shared row of a time to the tables, for all layers at once: the sums of every step lie in the same place, so that the
 * parameters of what reads them are the same at every step.
 *
 * @param shared [R, P], P a multiple of C.
 * @param tables [T, P]
 * @param width C.
 * @param row The time that all samples have; without it, sample b has time b.
 * @returns The P / C rows of a layer.
 */
export function modulate(
  rec: Recorder,
  shared: Tensor,
  tables: Tensor,
  width: number,
  row?: number,
): (layer: number) => TableRows[] {
  const period = shared.dim(-1);
  const rowsOf = (tensor: Tensor, stride: number, start: number): TableRows[] =>
    Array.from({ length: period / width }, (_, part) => ({ tensor, stride, offset: start + part * width }));
  if (row === undefined) {
    return (layer) => rowsOf(add(rec, shared, tables, { start: layer * period, count: period }), period, 0);
  }
  const sums = add(rec, tables, shared, { start: row * period, count: period });
  return (layer) => rowsOf(sums, 0, layer * period);
}
