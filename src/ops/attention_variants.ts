// Which attention kernel runs: the one place that looks at what a device can do. In: the device, the shape of the heads.
// Out: a kernel, its constants, and how many queries a workgroup covers.

import common from "../../shaders/attention_common.wgsl" with { type: "text" };
import portableSource from "../../shaders/attention.wgsl" with { type: "text" };
import wideSource from "../../shaders/attention_wide.wgsl" with { type: "text" };
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
const WIDE: KernelSource = { name: "attention_wide", source: wideSource, shared: [common], features: ["subgroups"] };

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
    constants: { LANES: lanes, KEYS: 32 / lanes, QUADS: Math.ceil(quads / lanes) },
    queries: 32,
  };
}

// The kernel for CPUs that pose as GPUs, such as lavapipe: subgroups of 8 lanes, heads of 128 at most.
const WIDE_VARIANT: AttentionVariant = { name: "wide", kernel: WIDE, constants: {}, queries: 16 };

/**
 * The fastest kernel for a device.
 *
 * @param headWidth D, the width of a head.
 */
export function attentionVariant(device: Device, headWidth: number): AttentionVariant {
  return device.subgroupSize === 8 && headWidth <= 128 ? WIDE_VARIANT : portableAttention(headWidth);
}

/**
 * Whether attention with a head this wide should go by rows, as matmuls; see `attentionByRows`.
 *
 * @param dense Whether there is one head a sample, in rows without gaps, and no relative bias.
 * @param headWidth D, the width of the head.
 */
export function prefersRows(device: Device, dense: boolean, headWidth: number): boolean {
  // Samples then start on whole 256 bytes, as bindings must.
  return dense && device.subgroupSize === 8 && headWidth > 128 && headWidth % 64 === 0;
}
