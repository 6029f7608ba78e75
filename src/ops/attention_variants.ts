// Which attention kernel runs: the one place that looks at what a device can do. In: the device, the width of a head.
// Out: a kernel, its constants, and how many queries a workgroup covers.

import common from "../../shaders/attention_common.wgsl" with { type: "text" };
import portableSource from "../../shaders/attention.wgsl" with { type: "text" };
import type { Device } from "../gpu/device.ts";
import type { Constants, KernelSource } from "../gpu/kernel.ts";

/** An attention kernel with its tile. */
export interface AttentionVariant {
  name: string;
  kernel: KernelSource;
  constants: Constants;
  /** Queries that a workgroup covers. */
  queries: number;
}

const PORTABLE: KernelSource = { name: "attention", source: portableSource, shared: [common] };

// Quads of a head that one lane holds at most, once for the query and once for the sums: more would spill on every GPU.
const QUADS = 32;

/**
 * The portable kernel, which runs everywhere and is the reference of benches.
 *
 * @param headWidth D, the width of a head.
 */
export function portableAttention(headWidth: number): AttentionVariant {
  const quads = headWidth / 4, parts = Math.ceil(quads / QUADS);
  const lanes = parts > 1 ? 16 : 64;
  return {
    name: "portable",
    kernel: PORTABLE,
    constants: { HEAD_WIDTH4: quads, PARTS: parts, WIDTH4: Math.ceil(quads / parts), LANES: lanes },
    queries: lanes,
  };
}

/**
 * The fastest kernel for a device.
 *
 * @param headWidth D, the width of a head.
 */
export function attentionVariant(_device: Device, headWidth: number): AttentionVariant {
  return portableAttention(headWidth);
}
