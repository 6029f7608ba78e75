// Which convolution kernel runs: the one place that looks at what a device can do. In: the device, the extents of a convolution.
// Out: a kernel for each type of weights, its constants, and what a workgroup covers.

import commonSource from "../../shaders/conv2d_common.wgsl" with { type: "text" };
import bands from "../../shaders/matmul_bands.wgsl" with { type: "text" };
import cells from "../../shaders/matmul_cells_f16.wgsl" with { type: "text" };
import matrixEnds from "../../shaders/conv2d_matrix.wgsl" with { type: "text" };
import matrixSource from "../../shaders/matmul_matrix.wgsl" with { type: "text" };
import source from "../../shaders/conv2d.wgsl" with { type: "text" };
import tileSource from "../../shaders/conv2d_tile.wgsl" with { type: "text" };
import wideSource from "../../shaders/conv2d_wide.wgsl" with { type: "text" };
import wideRows from "../../shaders/wide_rows.wgsl" with { type: "text" };
import type { Device } from "../gpu/device.ts";
import type { Constants, KernelSource } from "../gpu/kernel.ts";
import {
  chooseMatrixTile,
  type MatrixShape,
  type MatrixTile,
  matrixTileExtents,
  type WideTile,
  wideTileExtents,
} from "./matmul_tiles.ts";
import { matrixShape } from "./matmul_variants.ts";
import { HALVES_STEP } from "./pack_halves.ts";
import { chooseTile } from "./tile_table.ts";
import { tilesOf } from "./tile_tables.ts";
import { type FloatDType, forWeights } from "./weight_kernels.ts";

/** A convolution kernel with its tile. */
export interface ConvVariant {
  name: string;
  kernels: Partial<Record<FloatDType, KernelSource>>;
  constants: Constants;
  /** Whether x is read as halves, with a pixel of zeros behind. */
  halves?: boolean;
  /** Workgroups beside each other, for so many quads of channels. */
  columnGroups(columns4: number): number;
  /** Workgroups in all, for so many outputs and quads of channels. */
  groups(outputs: number, columns4: number): number;
}

const shared = [commonSource];
const PORTABLE = forWeights({ name: "conv2d", source, shared });
const WIDE = forWeights({
  name: "conv2d_wide",
  source: wideSource,
  shared: [...shared, wideRows],
  features: ["subgroups"],
});
const TILE = forWeights({ name: "conv2d_tile", source: tileSource, shared });
const MATRIX: KernelSource = {
  name: "conv2d_matrix",
  source: matrixSource,
  shared: [matrixEnds, commonSource, bands, cells],
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
};

/** A variant whose workgroups lie in a grid over outputs and quads of channels. */
function inGrid(
  variant: Pick<ConvVariant, "name" | "kernels" | "constants" | "halves">,
  outputs: number,
  columns4: number,
): ConvVariant {
  const columnGroups = (columns: number) => Math.ceil(columns / columns4);
  return { ...variant, columnGroups, groups: (rows, columns) => Math.ceil(rows / outputs) * columnGroups(columns) };
}

/** The portable kernel, which runs everywhere and is the reference of benches. */
export function portableConv(): ConvVariant {
  return {
    name: "portable",
    kernels: PORTABLE,
    constants: {},
    columnGroups: () => 1,
    groups: (outputs, columns4) => Math.ceil(Math.ceil(outputs / 8) * columns4 / 64),
  };
}

/** The kernel for CPUs that pose as GPUs, such as lavapipe: subgroups of 8 lanes, channels in fours. */
export function wideConv(tile: WideTile): ConvVariant {
  const { rows, columns } = wideTileExtents(tile);
  return inGrid({ name: "wide", kernels: WIDE, constants: { ...tile } }, rows, columns / 4);
}

/** The kernel for GPUs without tensor cores: CI a multiple of 16, CO of 4. */
export function tileConv(): ConvVariant {
  return inGrid({ name: "tile", kernels: TILE, constants: {} }, 128, 32);
}

/** The kernel for tensor cores: halves, with CI a multiple of a step and CO of 8. Sums are f32. */
export function matrixConv(tile: MatrixTile, shape: MatrixShape): ConvVariant {
  const { rows, columns } = matrixTileExtents(tile, shape);
  const constants = { ...tile, ...shape };
  return inGrid({ name: "matrix", kernels: { f16: MATRIX }, constants, halves: true }, rows, columns / 4);
}

/** What decides between kernels. */
export interface ConvTraits {
  inChannels: number;
  outChannels: number;
  /** B * HO * WO. */
  outputs: number;
  dtype: FloatDType;
}

/** The fastest kernel for a device. Weights as f32 are multiplied in f32 everywhere. */
export function convVariant(device: Device, { inChannels, outChannels, outputs, dtype }: ConvTraits): ConvVariant {
  // Other kernels make many channels at a time; few would leave most of their lanes idle.
  if (inChannels % 4 !== 0 || outChannels % 4 !== 0 || outChannels < 16) return portableConv();
  const tables = tilesOf(device).conv2d;
  const product = { rows: outputs, columns: outChannels, depth: inChannels, weights: dtype };
  if (device.software) {
    if (device.subgroupSize !== 8) return portableConv();
    // Mesa 22, told by this limit of its lavapipe, reaches arrays of sums slowly: there 8 outputs are twice as fast as 32.
    const most = device.limits.maxStorageBuffersPerShaderStage === 32 ? 1 : Infinity;
    const tile = chooseTile(tables.wide, product, (tile) => tile.TILES <= most ? wideTileExtents(tile) : undefined);
    return tile ? wideConv(tile) : portableConv();
  }
  const shape = dtype === "f16" && inChannels % HALVES_STEP === 0 && outChannels % 8 === 0
    ? matrixShape(device)
    : undefined;
  if (shape) {
    const tile = chooseMatrixTile(tables.matrix, shape, device.limits, product);
    if (tile) return matrixConv(tile, shape);
  }
  const hasRoom = device.limits.maxComputeInvocationsPerWorkgroup >= 256 &&
    device.limits.maxComputeWorkgroupStorageSize >= 18432;
  return hasRoom && inChannels % 16 === 0 ? tileConv() : portableConv();
}
