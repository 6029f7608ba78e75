// Kernels that read weights exist once per type of weights: the same file with other functions behind it.

import f16 from "../../shaders/weight4_f16.wgsl" with { type: "text" };
import f32 from "../../shaders/weight4_f32.wgsl" with { type: "text" };
import type { KernelSource } from "../gpu/kernel.ts";

/** How weights may be stored as floats, which all kernels read. */
export type FloatDType = "f32" | "f16";

/** How weights of linear layers may be stored: as floats, or as small integers in blocks that share a scale. */
export type WeightDType = FloatDType | "int8" | "int4";

/** All of them, the most exact first. */
export const WEIGHT_DTYPES: readonly WeightDType[] = ["f32", "f16", "int8", "int4"];

/** Whether a type is one of floats. */
export function isFloatDType(dtype: WeightDType): dtype is FloatDType {
  return dtype === "f32" || dtype === "f16";
}

/** How weights that cannot be in blocks are kept where others are: as asked if that is floats, and else as f16. */
export function floatDType(asked?: WeightDType): FloatDType {
  return asked && isFloatDType(asked) ? asked : "f16";
}

/** One kernel for each type of floats. */
export function forWeights(kernel: KernelSource): Record<FloatDType, KernelSource> {
  const shared = kernel.shared ?? [];
  return { f32: { ...kernel, shared: [...shared, f32] }, f16: { ...kernel, shared: [...shared, f16] } };
}
