// batchedMatmul: products of activations, matrix by matrix of a batch.

import source from "../../shaders/matmul_batched.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "matmul_batched", source };
const ROWS = 4, COLUMNS = 64; // what a workgroup covers, as in the kernel

/**
 * Multiplies two batches of matrices.
 *
 * @param a [B, M, K] f32.
 * @param b [B, K, N] f32, or [B, N, K] with `transposeB`.
 * @param options `transposeB`: the matrices of `b` lie on their side.
 * @returns [B, M, N] f32 in the recorder's scope.
 * @throws {ShapeError} when batches or inner extents differ.
 */
export function batchedMatmul(rec: Recorder, a: Tensor, b: Tensor, options: { transposeB?: boolean } = {}): Tensor {
  if (a.shape.length !== 3 || b.shape.length !== 3 || a.dtype !== "f32" || b.dtype !== "f32") {
    throw new ShapeError(`Cannot multiply ${a} by ${b} as both must be [B, rows, columns] f32`);
  }
  const [B, M, K] = a.shape;
  const [depth, N] = options.transposeB ? [b.shape[2], b.shape[1]] : [b.shape[1], b.shape[2]];
  if (b.shape[0] !== B || depth !== K) {
    throw new ShapeError(
      `Cannot multiply ${a} by ${b} as batches and inner extents must match: ${B} and ${b.shape[0]}, ${K} and ${depth}`,
    );
  }
  const y = rec.tensor([B, M, N]);
  const rowTiles = Math.ceil(M / ROWS), columnTiles = Math.ceil(N / COLUMNS);
  rec.dispatch(rec.device.kernel(KERNEL, { B_TRANSPOSED: options.transposeB ?? false }), {
    bindings: [a, b, y],
    params: { rows: M, depth: K, columns: N, row_tiles: rowTiles, column_tiles: columnTiles, batch: B },
    groups: linearGroups(B * rowTiles * columnTiles),
  });
  return y;
}
