// Which matmul kernel runs: the one place that looks at what a device can do. In: the device, the extents of a product.
// Out: a kernel for each type of weights, its constants, and how many rows and columns a workgroup covers.

import type { Device } from "../gpu/device.ts";
import type { Constants } from "../gpu/kernel.ts";
import { MATRIX, MATRIX_TO_HALVES, PORTABLE, TILE, TILE_F16, type WeightKernels, WIDE } from "./matmul_kernels.ts";
import {
  chooseMatrixTile,
  chooseWorkgroupTile,
  type MatrixShape,
  type MatrixTile,
  matrixTileExtents,
  type WideTile,
  wideTileExtents,
  type WorkgroupTile,
  workgroupTileExtents,
} from "./matmul_tiles.ts";
import { chooseTile, type TileExtents } from "./tile_table.ts";
import { TileChoices, tilesOf } from "./tile_tables.ts";
import { WEIGHT_DTYPES, type WeightDType } from "./weight_kernels.ts";

/** A matmul kernel with its tile. */
export interface MatmulVariant extends TileExtents {
  name: string;
  kernels: WeightKernels;
  constants: Constants;
  /** Whether all columns, strides and offsets must be multiples of four. */
  inFours?: boolean;
  /** Whether it reads x as halves. */
  takesHalves?: boolean;
  /** The kernels whose result is halves, where there are such. */
  toHalves?: WeightKernels;
}

/** What decides between kernels besides rows and depth. */
export interface ProductTraits {
  /** Np, columns of the weight as packed. */
  columns?: number;
  dtype?: WeightDType;
  /** Whether all columns, strides and offsets are multiples of four. */
  inFours?: boolean;
  /** Whether short sums, too, are to be of floats. */
  precise?: boolean;
}

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
export function wideMatmul(tile: WideTile): MatmulVariant {
  return { name: "wide", kernels: WIDE, constants: { ...tile }, ...wideTileExtents(tile) };
}

/**
 * The kernel for GPUs without tensor cores, which needs K in fours, too.
 *
 * @param half Multiplies and adds a few numbers at a time as halves, which needs shader-f16.
 */
export function tileMatmul(tile: WorkgroupTile, half = false): MatmulVariant {
  return {
    name: half ? "tile-f16" : "tile",
    kernels: half ? TILE_F16 : TILE,
    constants: { ...tile, Number4: half ? "vec4<f16>" : "vec4<f32>", HALVES: half },
    ...workgroupTileExtents(tile),
    inFours: true,
  };
}

/** The kernel for tensor cores, which needs K in fours, too; and Np in eights where weights are f16. */
export function matrixMatmul(tile: MatrixTile, shape: MatrixShape): MatmulVariant {
  return {
    name: "matrix",
    kernels: MATRIX,
    constants: { ...tile, ...shape },
    ...matrixTileExtents(tile, shape),
    inFours: true,
    takesHalves: true,
    toHalves: MATRIX_TO_HALVES,
  };
}

function largestShape(device: Device): MatrixShape | undefined {
  return device.subgroupMatrixConfigs
    .filter((config) => config.componentType === "f16" && config.resultComponentType === "f32")
    .toSorted((a, b) => b.M * b.N * b.K - a.M * a.N * a.K)
    .map(({ M, N, K }) => ({ MATRIX_M: M, MATRIX_N: N, MATRIX_K: K, SUBGROUP_SIZE: device.subgroupSize }))[0];
}

// Choices made so far, since a network makes the same ones at each step.
const shapes = new WeakMap<Device, MatrixShape | undefined>();
const chosen = new TileChoices<MatmulVariant>();
const key = new Int32Array(5);

/** The largest products that a device's tensor cores do with factors of f16 and sums of f32; undefined where it has none. */
export function matrixShape(device: Device): MatrixShape | undefined {
  if (!shapes.has(device)) shapes.set(device, largestShape(device));
  return shapes.get(device);
}

/**
 * The fastest kernel for a device. Weights as f32 are multiplied in f32 everywhere.
 *
 * @param rows M, rows of the product.
 * @param depth K, what is summed over.
 */
export function matmulVariant(device: Device, rows: number, depth: number, traits: ProductTraits = {}): MatmulVariant {
  const { columns = 1024, dtype = "f16", inFours = true, precise = false } = traits;
  const known = chosen.on(device);
  key[0] = rows;
  key[1] = depth;
  key[2] = columns;
  key[3] = WEIGHT_DTYPES.indexOf(dtype);
  key[4] = (inFours ? 1 : 0) + (precise ? 2 : 0);
  let variant = known.get(key, key.length);
  if (!variant) {
    variant = choose(device, rows, depth, { columns, dtype, inFours, precise });
    known.add(key, key.length, variant);
  }
  return variant;
}

function choose(
  device: Device,
  rows: number,
  depth: number,
  { columns, dtype, inFours, precise }: Required<ProductTraits>,
): MatmulVariant {
  const tables = tilesOf(device).matmul;
  const product = { rows, columns, depth, weights: dtype };
  if (device.software) {
    if (device.subgroupSize !== 8 || depth % 4 !== 0) return portableMatmul(rows);
    const tile = chooseTile(tables.wide, product, wideTileExtents);
    return tile ? wideMatmul(tile) : portableMatmul(rows);
  }
  // A few rows are bound by reading the weights, and would leave most of a tile idle.
  if (rows <= 4 || depth % 4 !== 0 || !inFours) return portableMatmul(rows);
  const shape = matrixShape(device);
  if (shape && dtype !== "f32" && (dtype !== "f16" || columns % 8 === 0)) {
    const tile = chooseMatrixTile(tables.matrix, shape, device.limits, product);
    if (tile) return matrixMatmul(tile, shape);
  }
  const half = dtype !== "f32" && !precise && device.features.has("shader-f16");
  const tile = chooseWorkgroupTile(half ? tables["tile-f16"] : tables.tile, half, device.limits, product);
  return tile ? tileMatmul(tile, half) : portableMatmul(rows);
}
