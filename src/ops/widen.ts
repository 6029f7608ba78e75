// widen: floats of sixteen bits, as checkpoints store them, to f32.

import source from "../../shaders/widen.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "widen", source };

/**
 * Widens f16 or bf16 to f32, exactly.
 *
 * @param raw u32 words that hold as many floats as `out`, two to a word, the first in the low bits.
 * @param from Which of the two they are.
 * @param out f32 of any shape.
 * @returns `out`.
 * @throws {ShapeError} when `raw` holds too few, or a type is another.
 */
export function widen(rec: Recorder, raw: Tensor, from: "f16" | "bf16", out: Tensor): Tensor {
  if (raw.dtype !== "u32" || out.dtype !== "f32" || raw.size * 2 < out.size) {
    throw new ShapeError(`Cannot widen ${raw} to ${out} as u32 words must hold as many ${from}: they do not`);
  }
  rec.dispatch(rec.device.kernel(KERNEL, { IS_BFLOAT: from === "bf16" }), {
    bindings: [raw, out],
    params: { count: out.size },
    groups: linearGroups(Math.ceil(out.size / 1024)),
  });
  return out;
}
