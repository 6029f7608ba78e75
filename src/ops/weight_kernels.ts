// Kernels that read weights exist once per type of weights: the same file with another `weight4` behind it.

import f16 from "../../shaders/weight4_f16.wgsl" with { type: "text" };
import f32 from "../../shaders/weight4_f32.wgsl" with { type: "text" };
import type { KernelSource } from "../gpu/kernel.ts";

/** How weights may be stored. */
export type WeightDType = "f32" | "f16";

/** One kernel for each type of weights. */
export function forWeights(kernel: KernelSource): Record<WeightDType, KernelSource> {
  const shared = kernel.shared ?? [];
  return { f32: { ...kernel, shared: [...shared, f32] }, f16: { ...kernel, shared: [...shared, f16] } };
}
