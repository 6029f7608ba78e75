// Kernels over rows exist in variants: reading four neighbours at a time, or one where the rows are not a multiple of four long;
// and, where they reduce, with sums through workgroup memory (portable) or within one subgroup (for CPUs with 8-wide vectors).

import lanes1 from "../../shaders/lanes_1.wgsl" with { type: "text" };
import lanes4 from "../../shaders/lanes_4.wgsl" with { type: "text" };
import workgroupSum from "../../shaders/workgroup_sum.wgsl" with { type: "text" };
import subgroupSum from "../../shaders/workgroup_sum_subgroup.wgsl" with { type: "text" };
import type { Device } from "../gpu/device.ts";
import type { KernelSource } from "../gpu/kernel.ts";

/** Neighbours read at a time. */
export type Lanes = 1 | 4;

/** One kernel for each number of neighbours read at a time. */
export type LaneKernels = Record<Lanes, KernelSource>;

/** Makes the variants of a kernel that works in `Lanes`. */
export function forLanes(kernel: KernelSource): LaneKernels {
  const shared = kernel.shared ?? [];
  return { 1: { ...kernel, shared: [...shared, lanes1] }, 4: { ...kernel, shared: [...shared, lanes4] } };
}

/** How many neighbours can be read at a time when all of these are lengths of rows, strides or offsets. */
export function lanesOf(...lengths: number[]): Lanes {
  return lengths.every((length) => length % 4 === 0) ? 4 : 1;
}

/** A kernel that calls `workgroup_sum`, by what that is made of. */
export interface ReductionKernels {
  portable: LaneKernels;
  subgroup: LaneKernels;
}

/** Makes the variants of a kernel that works in `Lanes` and calls `workgroup_sum`. */
export function forReduction(kernel: KernelSource): ReductionKernels {
  const shared = kernel.shared ?? [];
  return {
    portable: forLanes({ ...kernel, shared: [...shared, workgroupSum] }),
    subgroup: forLanes({ ...kernel, shared: [...shared, subgroupSum], features: ["subgroups"] }),
  };
}

/** The variant of a reduction that suits a device. */
export interface Reduction {
  kernels: LaneKernels;
  /** Invocations of a workgroup. */
  workers: number;
  /** Rows that one workgroup takes, where a kernel can take several. */
  rows: number;
}

/**
 * Chooses the variant of a reduction. A GPU wants several subgroups a row. On a CPU with 8-wide vectors one subgroup is best:
 * a barrier costs a switch of stacks for every subgroup, and rows are done one after another anyway.
 *
 * @param portable Takes the variant that needs no features, whatever the device has.
 */
export function reductionFor(device: Device, kernels: ReductionKernels, portable = false): Reduction {
  return device.subgroupSize === 8 && !portable
    ? { kernels: kernels.subgroup, workers: 8, rows: 4 }
    : { kernels: kernels.portable, workers: 64, rows: 1 };
}
