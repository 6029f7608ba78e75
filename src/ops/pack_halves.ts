// packHalves: activations as halves, the form in which tensor cores take them.

import source from "../../shaders/pack_halves.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "pack_halves", source };

/** What the halves are multiples of a row of: a tile of any kernel that reads them has whole steps then. */
export const HALVES_STEP = 64;
/** What activations are divided by: some of T5's are beyond 65504, where halves end; a power of two changes no digit. */
export const HALVES_DIVISOR = 16;

/** Halves that a row of `depth` activations takes. */
export function halvesStride(depth: number): number {
  return Math.ceil(depth / HALVES_STEP) * HALVES_STEP;
}

/**
 * Packs rows of activations.
 *
 * @param x [.., K] f32, K a multiple of 4.
 * @param options `silu`: applied on the way; `zeroRows`: rows of zeros behind.
 * @returns [M + zeroRows, `halvesStride(K)`] f16 in the recorder's scope: x divided by `HALVES_DIVISOR`, and zeros behind it.
 * @throws {ShapeError} when x is something else.
 */
export function packHalves(
  rec: Recorder,
  x: Tensor,
  { silu = false, zeroRows = 0 }: { silu?: boolean; zeroRows?: number } = {},
): Tensor {
  const depth = x.dim(-1);
  if (x.dtype !== "f32" || depth < 4 || depth % 4 !== 0) {
    throw new ShapeError(`Cannot pack ${x} as halves as it must be f32 with rows of a multiple of 4: ${depth}`);
  }
  const rows = x.size / depth, padded_rows = rows + zeroRows, stride = halvesStride(depth);
  const y = rec.tensor([padded_rows, stride], "f16");
  rec.dispatch(rec.device.kernel(KERNEL, { SILU: silu, DIVISOR: HALVES_DIVISOR }), {
    bindings: [x, y],
    params: { rows, padded_rows, depth, stride8: stride / 8 },
    groups: linearGroups(Math.ceil(padded_rows * stride / 8 / 64)),
  });
  return y;
}
