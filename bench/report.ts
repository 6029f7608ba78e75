// What a run of the bench leaves behind: one JSON document, described by the interfaces here. Times are in milliseconds.

import type { Timing } from "../src/tune/measure.ts";

export type { Timing };

/** The version of this layout; it rises when a field changes its meaning. */
export const SCHEMA = 1;

/** One contestant in one group. */
export interface Row {
  /** `matmul`, `attention`, `block`, `step`: what is done. */
  op: string;
  /** What it is in the model, with its extents: `qkv 1024x1152x3456`. With `op` and `dtype`, the group that is compared. */
  shape: string;
  /** How the weights are kept; `f32` where there are none. */
  dtype: string;
  /** `portable`, or the name of the variant that this device gets; or the name of a peer. */
  name: string;
  kind: "portable" | "chosen" | "peer";
  /** Missing where it failed. */
  timing?: Timing;
  /** Floating-point operations, a multiply-add being two, and the least bytes that must move. */
  flops: number;
  bytes: number;
  /** The least time that the ceilings of this run allow, and the share of it: floor / minimum. */
  floorMs?: number;
  share?: number;
  /** Relative L2 distance from the reference, at the places that were looked at. */
  error?: number;
  /** Whether the result was right, within the tolerance of its dtype. A row that is not ok counts for nothing. */
  ok: boolean;
  /** Why it failed, or what is special about it. */
  note?: string;
}

/** Where the bench ran. */
export interface Machine {
  /** The adapter, as it describes itself. */
  device: string;
  vendor: string;
  architecture: string;
  backend: string;
  driver: string;
  software: boolean;
  /** The processor, which is what computes where the adapter is software. */
  processor?: string;
  features: string[];
  subgroupSize: number;
  os: string;
  cores: number;
  deno: string;
}

/** What this machine can do at most, measured in the same run. */
export interface Ceilings {
  /** Floating-point operations a second of multiply-adds in registers. */
  f32: number;
  /** The same in halves, where the device has shader-f16. */
  f16?: number;
  /** Products of subgroup matrices of halves, summed in f32, where the device has them. */
  matrix?: number;
  /** Bytes a second of a copy, reads and writes counted. */
  copy: number;
  /** Milliseconds of an empty submit and its wait. */
  roundTripMs: number;
}

/** The host's share of a step of the transformer. */
export interface StepCost {
  /** The case: `Σ XL/2 1024 px, batch 2`. */
  shape: string;
  /** Milliseconds of recording and submitting the step, and of the step. */
  recordMs: number;
  stepMs: number;
  dispatches: number;
}

/** What the host spends while the GPU could work. */
export interface HostCost {
  /** Microseconds of host time a dispatch of the steps of a picture, recorded and submitted with next to nothing to run. */
  dispatchUs?: number;
  /** The same as bare calls of WebGPU. */
  bareUs?: number;
  steps: StepCost[];
}

/** How long the first picture takes, from the start of the process. */
export interface FirstPicture {
  coldMs: number;
  warmMs: number;
  note: string;
}

/** A picture with networks of the real extents, guidance included, from the prompt to pixels on the host. */
export interface WholePicture {
  /** Pixels of a side. */
  size: number;
  steps: number;
  /** Whether T5-XXL took part; else its embeddings were given. */
  textEncoder: boolean;
  /** With kernels still to be compiled, and again. */
  firstMs: number;
  againMs: number;
}

/** What PyTorch said of itself where it ran alone on the same machine. */
export interface PyTorchRun {
  torch: string;
  device: string;
  /** Operations a second of products of square matrices by their precision, bytes a second of a copy, and the side of the matrices. */
  ceilings: Record<string, number>;
}

/** One run. */
export interface Report {
  schema: typeof SCHEMA;
  /** ISO 8601. */
  date: string;
  commit: string;
  words: string[];
  seconds: number;
  /** What else ran: the system's load averages of a minute, before and after. */
  load: [before: number, after: number];
  machine: Machine;
  ceilings: Ceilings;
  host: HostCost;
  firstPicture?: FirstPicture;
  wholePicture?: WholePicture;
  pytorch?: PyTorchRun;
  rows: Row[];
  /** What was asked for and left out, and why. */
  skipped: string[];
}

/** The group that a row is compared in. */
export const groupOf = ({ op, shape, dtype }: Pick<Row, "op" | "shape" | "dtype">): string => `${op} ${shape} ${dtype}`;
