// patchify: latents become one row for each square patch, ready for the matmul that is the patch embedding.

import source from "../../shaders/patchify.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "patchify", source };

/** How latents are cut. */
export interface PatchifyOptions {
  /** Pixels a side of a patch. */
  patchSize: number;
  /** What every value is multiplied by. */
  scale?: number;
  /** How often the batch is repeated as a whole: twice for classifier-free guidance. */
  repeat?: number;
}

/**
 * Cuts latents into patches.
 *
 * @param x [B, Cin, h, w] f32, h and w multiples of the patch size.
 * @returns [repeat * B, h w / p², Cin p²] f32 in the recorder's scope; the last axis runs over channel, row, column, as a
 * convolution's weight does, and sample b is sample b mod B of `x`.
 * @throws {ShapeError} when `x` is no such tensor, or does not consist of whole patches.
 */
export function patchify(rec: Recorder, x: Tensor, { patchSize, scale = 1, repeat = 1 }: PatchifyOptions): Tensor {
  const [batch, channels, height, width] = x.shape;
  if (x.dtype !== "f32" || x.shape.length !== 4 || height % patchSize !== 0 || width % patchSize !== 0) {
    throw new ShapeError(
      `Cannot patchify ${x} as it must be f32 [B, C, h, w] with h and w multiples of ${patchSize}: it is not`,
    );
  }
  if (!Number.isInteger(repeat) || repeat < 1) {
    throw new ShapeError(`Cannot patchify ${x} as it must be repeated a whole number of times: ${repeat}`);
  }
  const gridHeight = height / patchSize, gridWidth = width / patchSize;
  const y = rec.tensor([repeat * batch, gridHeight * gridWidth, channels * patchSize ** 2]);
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [x, y],
    params: {
      total: y.size,
      samples: batch,
      channels,
      grid_height: gridHeight,
      grid_width: gridWidth,
      side: patchSize,
      scale,
    },
    groups: linearGroups(Math.ceil(y.size / 64)),
  });
  return y;
}
