// Which matmul kernel runs: the one place that looks at what a device can do. In: the device, the extents of x.
// Out: a kernel for each type of weights, its constants, and how many rows and columns a workgroup covers.

import blocks from "../../shaders/matmul_blocks.wgsl" with { type: "text" };
import epilogue from "../../shaders/matmul_epilogue.wgsl" with { type: "text" };
import floats from "../../shaders/matmul_floats.wgsl" with { type: "text" };
import int4 from "../../shaders/matmul_int4.wgsl" with { type: "text" };
import int8 from "../../shaders/matmul_int8.wgsl" with { type: "text" };
import portableSource from "../../shaders/matmul.wgsl" with { type: "text" };
import wideSource from "../../shaders/matmul_wide.wgsl" with { type: "text" };
import type { Device } from "../gpu/device.ts";
import type { Constants, KernelSource } from "../gpu/kernel.ts";
import { forWeights, type WeightDType } from "./weight_kernels.ts";

/** A matmul kernel with its tile. */
export interface MatmulVariant {
  name: string;
  kernels: Record<WeightDType, KernelSource>;
  constants: Constants;
  /** Rows of the result that a workgroup covers. */
  rows: number;
  /** Columns of the result that a workgroup covers. */
  columns: number;
}

function forAllWeights(kernel: KernelSource): Record<WeightDType, KernelSource> {
  const inBlocks = (source: string) => ({ ...kernel, shared: [epilogue, blocks, source] });
  return {
    ...forWeights({ ...kernel, shared: [epilogue, floats] }),
    int8: inBlocks(int8),
    int4: inBlocks(int4),
  };
}

const PORTABLE = forAllWeights({ name: "matmul", source: portableSource });
const WIDE = forAllWeights({ name: "matmul_wide", source: wideSource, features: ["subgroups"] });

/**
 * The portable kernel, which runs everywhere and is the reference of benches.
 *
 * @param rows Rows of the product.
 */
export function portableMatmul(rows: number): MatmulVariant {
  // A few rows, such as one timestep embedding a sample, would leave most of a tall tile idle.
  const constants = rows <= 4
    ? { ROWS: 2, COLUMNS4: 1, GROUP_X: 32, GROUP_Y: 1 }
    : { ROWS: 8, COLUMNS4: 2, GROUP_X: 8, GROUP_Y: 4 };
  return {
    name: "portable",
    kernels: PORTABLE,
    constants,
    rows: constants.ROWS * constants.GROUP_Y,
    columns: constants.COLUMNS4 * constants.GROUP_X * 4,
  };
}

/** The kernel for CPUs that pose as GPUs, such as lavapipe: subgroups of 8 lanes, and quads of x. */
function wideMatmul(rows: number): MatmulVariant {
  const constants = { TILES: rows <= 8 ? 1 : 4 };
  return { name: "wide", kernels: WIDE, constants, rows: constants.TILES * 8, columns: 32 };
}

/**
 * The fastest kernel for a device.
 *
 * @param rows M, rows of the product.
 * @param depth K, what is summed over.
 */
export function matmulVariant(device: Device, rows: number, depth: number): MatmulVariant {
  return device.subgroupSize === 8 && depth % 4 === 0 ? wideMatmul(rows) : portableMatmul(rows);
}
