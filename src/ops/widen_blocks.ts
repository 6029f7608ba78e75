// widenBlocks: ggml's blocks, as GGUF files store them, to f32.

import source from "../../shaders/widen_blocks.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { BLOCK_OF, type QuantType } from "../io/gguf_blocks.ts";
import { FORMAT_OF } from "./block_weight.ts";
import { GGML_SHARED, ggmlConstants } from "./ggml_kernels.ts";

const KERNEL = { name: "widen_blocks", source, shared: GGML_SHARED };

/**
 * Decodes blocks to f32, as ggml's reference does.
 *
 * @param raw u32 words that hold as many blocks as fill `out`, the first byte in the lowest bits.
 * @param out f32 of any shape of whole blocks.
 * @returns `out`.
 * @throws {ShapeError} when `raw` holds too few.
 */
export function widenBlocks(rec: Recorder, raw: Tensor, kind: QuantType, out: Tensor): Tensor {
  const { elements, bytes } = BLOCK_OF[kind];
  if (
    raw.dtype !== "u32" || out.dtype !== "f32" || out.size % elements !== 0 || raw.bytes < out.size / elements * bytes
  ) {
    throw new ShapeError(`Cannot widen ${raw} to ${out} as u32 words must hold as many blocks of ${kind}: they do not`);
  }
  const groups = out.size / FORMAT_OF[kind].blockLength;
  rec.dispatch(rec.device.kernel(KERNEL, ggmlConstants(kind)), {
    bindings: [raw, out],
    params: { groups },
    groups: linearGroups(Math.ceil(groups / 64)),
  });
  return out;
}
