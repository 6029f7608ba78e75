// Which kernels a device compiles, and how.

import type { Device } from "../src/gpu/device.ts";

/** Names of kernels: those that somebody waited for, and those that were compiled while other work went on. */
export interface Compiled {
  atOnce: string[];
  ahead: string[];
}

/** Notes every kernel that a device compiles from now on. */
export function countCompiled({ gpu }: Device): Compiled {
  const compiled: Compiled = { atOnce: [], ahead: [] };
  const atOnce = gpu.createComputePipeline.bind(gpu), ahead = gpu.createComputePipelineAsync.bind(gpu);
  gpu.createComputePipeline = (description) => {
    compiled.atOnce.push(description.label!);
    return atOnce(description);
  };
  gpu.createComputePipelineAsync = (description) => {
    compiled.ahead.push(description.label!);
    return ahead(description);
  };
  return compiled;
}
