// Kernels that read ggml's blocks: the same file once per kind of block. In: a kind. Out: the constants that name it, and the functions
// to append.

import blocks from "../../shaders/ggml_blocks.wgsl" with { type: "text" };
import halfBits from "../../shaders/half_bits.wgsl" with { type: "text" };
import type { Constants } from "../gpu/kernel.ts";
import { BLOCK_OF, type QuantType } from "../io/gguf_blocks.ts";
import { FORMAT_OF } from "./block_weight.ts";

/** What a kernel that reads blocks has behind it. */
export const GGML_SHARED: readonly string[] = [blocks, halfBits];

/** In the order in which ggml_blocks.wgsl numbers them. */
const KINDS: readonly QuantType[] = ["Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"];

/** The constants of a kind of block. */
export function ggmlConstants(kind: QuantType): Constants {
  const { elements, bytes } = BLOCK_OF[kind];
  const group = FORMAT_OF[kind].blockLength;
  return { KIND: KINDS.indexOf(kind), GROUP: group, BLOCK_GROUPS: elements / group, BLOCK_BYTES: bytes };
}
