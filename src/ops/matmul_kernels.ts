// The matmul kernels as their .wgsl files make them: what they share, and one of each kind for each type of weights.

import bands from "../../shaders/matmul_bands.wgsl" with { type: "text" };
import blocks from "../../shaders/matmul_blocks.wgsl" with { type: "text" };
import cellsBlocks from "../../shaders/matmul_cells_blocks.wgsl" with { type: "text" };
import cellsF16 from "../../shaders/matmul_cells_f16.wgsl" with { type: "text" };
import columns1 from "../../shaders/matmul_columns_1.wgsl" with { type: "text" };
import columns4 from "../../shaders/matmul_columns_4.wgsl" with { type: "text" };
import epilogue from "../../shaders/matmul_epilogue.wgsl" with { type: "text" };
import floats from "../../shaders/matmul_floats.wgsl" with { type: "text" };
import int4 from "../../shaders/matmul_int4.wgsl" with { type: "text" };
import int8 from "../../shaders/matmul_int8.wgsl" with { type: "text" };
import matrixSource from "../../shaders/matmul_matrix.wgsl" with { type: "text" };
import rows from "../../shaders/matmul_rows.wgsl" with { type: "text" };
import portableSource from "../../shaders/matmul.wgsl" with { type: "text" };
import tileSource from "../../shaders/matmul_tile.wgsl" with { type: "text" };
import toFloats from "../../shaders/matmul_to_floats.wgsl" with { type: "text" };
import toHalves from "../../shaders/matmul_to_halves.wgsl" with { type: "text" };
import wideSource from "../../shaders/matmul_wide.wgsl" with { type: "text" };
import wideRows from "../../shaders/wide_rows.wgsl" with { type: "text" };
import type { KernelSource } from "../gpu/kernel.ts";
import { forWeights, type WeightDType } from "./weight_kernels.ts";

/** A kernel for each type of weights that it takes. */
export type WeightKernels = Partial<Record<WeightDType, KernelSource>>;

// Kernels that read weights in quads of k.
function forQuads(kernel: KernelSource, ends: readonly string[]): Record<WeightDType, KernelSource> {
  const inBlocks = (source: string) => ({ ...kernel, shared: [epilogue, ...ends, blocks, source] });
  return {
    ...forWeights({ ...kernel, shared: [epilogue, ...ends, floats] }),
    int8: inBlocks(int8),
    int4: inBlocks(int4),
  };
}

// Kernels that bring cells of weights to workgroup memory.
function forCells(kernel: KernelSource, ends: readonly string[]): WeightKernels {
  const inBlocks = (source: string) => ({
    ...kernel,
    shared: [epilogue, bands, rows, ...ends, cellsBlocks, blocks, source],
  });
  return {
    f16: { ...kernel, shared: [epilogue, bands, rows, ...ends, cellsF16] },
    int8: inBlocks(int8),
    int4: inBlocks(int4),
  };
}

/** Needs nothing. */
export const PORTABLE = forQuads({ name: "matmul", source: portableSource }, [columns1]);

/** Needs subgroups of 8 lanes and K in fours. */
export const WIDE = forQuads({ name: "matmul_wide", source: wideSource, features: ["subgroups"] }, [
  columns1,
  wideRows,
]);

/** Needs workgroup memory for its tiles, and all extents in fours. */
export const TILE = forQuads({ name: "matmul_tile", source: tileSource }, [columns4, toFloats, bands]);

/** The same with products and short sums of halves. */
export const TILE_F16 = forQuads({ name: "matmul_tile_f16", source: tileSource, features: ["shader-f16"] }, [
  columns4,
  toFloats,
  bands,
]);

const MATRIX_KERNEL: KernelSource = {
  name: "matmul_matrix",
  source: matrixSource,
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
};

/** Needs subgroup matrices, x as halves, and all extents in fours. */
export const MATRIX = forCells(MATRIX_KERNEL, [columns4, toFloats]);

/** The same with halves as the result. */
export const MATRIX_TO_HALVES = forCells(MATRIX_KERNEL, [columns4, toHalves]);
