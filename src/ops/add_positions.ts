// addPositions: the places of tokens on a grid, added to them. A place is a row and a column with half of the channels each, so that
// two small tables stand for one as large as the tokens.

import source from "../../shaders/add_positions.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowRuns } from "./row_runs.ts";

const KERNEL = { name: "add_positions", source };

/**
 * Adds to each token its column in the first half of the channels and its row in the second, in place.
 *
 * @param x [B, H W, C] f32, row by row of the grid; or with `first`, [1, N, C] the tokens from that one on.
 * @param rows [H, C / 2] f32.
 * @param columns [W, C / 2] f32.
 * @returns `x`.
 * @throws {ShapeError} when the tables are not those of such tokens.
 */
export function addPositions(
  rec: Recorder,
  x: Tensor,
  rows: Tensor,
  columns: Tensor,
  { first: start }: { first?: number } = {},
): Tensor {
  const [batch, tokens, width] = x.shape;
  const [height, half] = rows.shape;
  const grid = height * columns.dim(0);
  const placed = start === undefined ? tokens === grid : batch === 1 && start >= 0 && start + tokens <= grid;
  const fits = x.shape.length === 3 && placed && columns.dim(1) === half;
  if (!fits || width !== 2 * half || [x, rows, columns].some(({ dtype }) => dtype !== "f32")) {
    throw new ShapeError(
      `Cannot add rows ${rows} and columns ${columns} to ${x} as it must be f32 [B, H W, C] and they [H, C / 2] and ` +
        "[W, C / 2]: they are not",
    );
  }
  for (const { first, count } of rowRuns(rec.device, batch * tokens, [width])) {
    rec.dispatch(rec.device.kernel(KERNEL), {
      bindings: [columns, rows, x.view([count, width], first * width)],
      params: { total: count * width, first: (start ?? 0) + first, height, width: columns.dim(0), half },
      groups: linearGroups(Math.ceil(count * width / 64)),
    });
  }
  return x;
}
