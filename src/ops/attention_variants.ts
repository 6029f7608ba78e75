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

/**
 * The portable kernel, which runs everywhere and is the reference of benches.
 *
 * @param headWidth D, the width of a head.
 */
export function portableAttention(headWidth: number): AttentionVariant {
  const quads = headWidth / 4;
  // Wide heads go over more lanes, so that the sums of one stay within 16 quads.
  const lanes = quads <= 32 ? 8 : 32;
  return {
    name: "portable",
    kernel: PORTABLE,
    constants: { HEAD_WIDTH4: quads, LANES: lanes, KEYS: 32 / lanes, QUADS: Math.ceil(quads / lanes) },
    queries: 32,
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
