// Every attention kernel that this device can run, whichever it would choose, and which heads each is tested with.

import {
  type AttentionVariant,
  matrixAttention,
  portableAttention,
  tileAttention,
  wideAttention,
} from "../../src/ops/attention_variants.ts";
import { matrixShape } from "../../src/ops/matmul_variants.ts";
import { device } from "../_device.ts";

/** A kernel to test. */
export interface Candidate {
  name: string;
  variant(headWidth: number): AttentionVariant;
  /** The error that its weights, in halves, add to what every kernel may have; 0 where they are f32. */
  rounding: number;
  /** Widths of heads that it is tested with, among them 24. Kernels made for a width take long to compile on a CPU. */
  widths: readonly number[];
}

function matrixCandidates(): Candidate[] {
  const shape = matrixShape(device);
  if (!shape) return [];
  return [{
    name: "matrix",
    variant: (headWidth) => matrixAttention(headWidth, { SUBGROUPS: 4 }, shape),
    rounding: 5e-4,
    widths: [24, 40],
  }];
}

/** Kernels by the order of their demands. */
export const CANDIDATES: readonly Candidate[] = [
  { name: "portable", variant: portableAttention, rounding: 0, widths: [4, 24, 64, 72, 128, 140, 512] },
  ...(device.subgroupSize === 8
    ? [{ name: "wide", variant: wideAttention, rounding: 0, widths: [4, 24, 64, 72, 128] }]
    : []),
  ...([1, 2] as const).map((FOURS) => ({
    name: `tile of ${4 * FOURS} queries a lane`,
    variant: (headWidth: number) => tileAttention(headWidth, { GY: 2, FOURS }),
    rounding: 0,
    widths: FOURS === 1 ? [24, 72, 128] : [24],
  })),
  ...matrixCandidates(),
];
