// What is measured: an op or a network at one shape of the model. In: its extents. Out: how to open it on a device, what it must
// compute, and what a peer needs to do the same.

import type { WeightDType } from "../src/ops/weight_kernels.ts";
import { MATMUL_TOLERANCES } from "../src/tune/matmul_work.ts";
import type { Work } from "../src/tune/work.ts";

/**
 * Every type of weights that linear layers are measured with, with the relative L2 error that it may have. The one list: a type
 * added here is measured wherever weights are multiplied.
 */
export const WEIGHT_DTYPES: Readonly<Partial<Record<WeightDType, number>>> = MATMUL_TOLERANCES;

/** What a peer is given: the kind of work, its extents, and its inputs. */
export interface PeerJob {
  kind: "matmul" | "attention" | "conv2d" | "layer_norm" | "group_norm" | "block" | "step" | "t5" | "vae";
  extents: Record<string, number>;
  /** Named arrays; a matrix of weights is [in, out], a kernel [height, width, in, out]. */
  inputs?(): Promise<Record<string, { shape: number[]; data: Float32Array }>>;
}

/** One thing to be measured; where it does not say what the result must be, the portable kernels are the reference. */
export interface Case extends Work {
  /** Words that choose it beside `op` and `dtype`: `512`, `t5`. */
  words: string[];
  /** One of the few that are measured in a minute. */
  quick?: boolean;
  /** Where it is measured, if not everywhere. */
  only?: "cpu" | "gpu";
  /** Whether a software device takes too long for it unless it is asked for by its size. */
  large?: boolean;
  peer?: PeerJob;
}
