// Kernels over rows exist twice: reading four neighbours at a time, and one where the rows are not a multiple of four long.

import lanes1 from "../../shaders/lanes_1.wgsl" with { type: "text" };
import lanes4 from "../../shaders/lanes_4.wgsl" with { type: "text" };
import workgroupSum from "../../shaders/workgroup_sum.wgsl" with { type: "text" };
import type { Device } from "../gpu/device.ts";
import type { KernelSource } from "../gpu/kernel.ts";

/** The text of `workgroup_sum`, for kernels that reduce. */
export const WORKGROUP_SUM: string = workgroupSum;

/** One kernel for each number of neighbours read at a time. */
export function forLanes(kernel: KernelSource): Record<1 | 4, KernelSource> {
  const shared = kernel.shared ?? [];
  return { 1: { ...kernel, shared: [...shared, lanes1] }, 4: { ...kernel, shared: [...shared, lanes4] } };
}

/** How many neighbours can be read at a time when all of these are lengths of rows, strides or offsets. */
export function lanesOf(...lengths: number[]): 1 | 4 {
  return lengths.every((length) => length % 4 === 0) ? 4 : 1;
}

/**
 * Invocations that share a reduction. A GPU wants several subgroups; on a CPU with 8-wide vectors one subgroup is best, since
 * each barrier there costs a switch of stacks for every subgroup.
 */
export function reductionWorkers(device: Device): number {
  return device.subgroupSize === 8 ? 8 : 64;
}
