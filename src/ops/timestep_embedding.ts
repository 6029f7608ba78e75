// timestepEmbedding: sinusoids of a time, [cos, sin], as the diffusion transformers have them.

import source from "../../shaders/timestep_embedding.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "timestep_embedding", source };
const MAX_PERIOD = 10000;

/** exp(-ln(10000) i / half), rounded to f32 after each operation as in PyTorch: at t = 999 one ulp of the first is 6e-5. */
function frequencies(half: number): Float32Array {
  const slope = Math.fround(-Math.log(MAX_PERIOD));
  return Float32Array.from({ length: half }, (_, i) => Math.exp(Math.fround(Math.fround(slope * i) / half)));
}

/**
 * Embeds times as sinusoids of geometrically spaced frequencies.
 *
 * @param t [B] f32; may be fractional, and up to 8192 in magnitude.
 * @param width An even number.
 * @returns [B, width] f32 in the recorder's scope: the cosines, then the sines.
 * @throws {ShapeError} when `t` is no row of times, or the width is odd.
 */
export function timestepEmbedding(rec: Recorder, t: Tensor, width: number): Tensor {
  if (t.dtype !== "f32" || t.shape.length !== 1) {
    throw new ShapeError(`Cannot embed times ${t} as they must be f32 [B]: they are not`);
  }
  if (!Number.isInteger(width) || width < 2 || width % 2 !== 0) {
    throw new ShapeError(`Cannot embed times ${t} as the width must be an even number: ${width}`);
  }
  const half = width / 2, total = t.size * half;
  const table = rec.upload(frequencies(half), [half]);
  const y = rec.tensor([t.size, width]);
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [t, table, y],
    params: { total, half, zero: 0 },
    groups: linearGroups(Math.ceil(total / 64)),
  });
  table.dispose();
  return y;
}
