// Tiles of the matmul kernels that use workgroup memory: how a workgroup shares out its part of the product. In: the extents of a
// product, what a device has room for. Out: the tile to use. The order and the numbers are what a GPU measured.

import type { DeviceLimits } from "../gpu/device.ts";

/** How the tensor core kernel shares out its work. */
export interface MatrixTile {
  /** Matrices of the result above each other in a subgroup, up to 4. */
  DOWN: number;
  /** Matrices of the result side by side in a subgroup. */
  ACROSS: 2 | 4;
  /** Subgroups above each other. */
  SUBGROUPS_M: number;
  /** Subgroups side by side. */
  SUBGROUPS_N: number;
  /** Steps of k that are in workgroup memory at a time. */
  TILE_K: number;
  /** 2: one pair of tiles is filled while the other is multiplied. */
  BUFFERS: 1 | 2;
}

/** How the kernel for GPUs without tensor cores shares out its work: a lane has 8 rows and 8 columns. */
export interface WorkgroupTile {
  /** Lanes side by side. */
  GROUP_X: number;
  /** Lanes above each other. */
  GROUP_Y: number;
  /** Steps of k that are in workgroup memory at a time. */
  TILE_K: number;
}

/** The shape of one subgroup matrix product, and the lanes that do it. */
export interface MatrixShape {
  MATRIX_M: number;
  MATRIX_N: number;
  MATRIX_K: number;
  SUBGROUP_SIZE: number;
}

/** What a workgroup covers of the result. */
export interface TileExtents {
  rows: number;
  columns: number;
}

function matrixTile(
  DOWN: number,
  ACROSS: 2 | 4,
  SUBGROUPS_M: number,
  SUBGROUPS_N: number,
  TILE_K: number,
  BUFFERS: 1 | 2,
): MatrixTile {
  return { DOWN, ACROSS, SUBGROUPS_M, SUBGROUPS_N, TILE_K, BUFFERS };
}

/** What the choice between tiles goes by, measured on a large GPU; on others the ratios are taken to be alike. */
export interface TileSpeed {
  /** TFLOP/s on large products. */
  speed: number;
  /** Workgroups that run at one time: the last ones of a product often leave some of these places empty. */
  atOnce: number;
}

/** A tile with its speed. */
export interface RatedTile<T> extends TileSpeed {
  tile: T;
}

/** For tensor cores: an H100 through Dawn, [8192, 1152] by [1152, 4608], packing of x to halves included. */
export const MATRIX_TILES: readonly RatedTile<MatrixTile>[] = [
  { tile: matrixTile(4, 4, 2, 2, 32, 1), speed: 334, atOnce: 264 },
  { tile: matrixTile(3, 4, 2, 2, 32, 1), speed: 299, atOnce: 264 },
  { tile: matrixTile(2, 4, 2, 2, 32, 1), speed: 251, atOnce: 396 },
  { tile: matrixTile(2, 2, 2, 2, 32, 1), speed: 231, atOnce: 660 },
];

/** For other GPUs, in f32: the same GPU and product through Deno's WebGPU. */
export const WORKGROUP_TILES: readonly RatedTile<WorkgroupTile>[] = [
  { tile: { GROUP_X: 16, GROUP_Y: 16, TILE_K: 16 }, speed: 30, atOnce: 264 },
  { tile: { GROUP_X: 8, GROUP_Y: 8, TILE_K: 16 }, speed: 27, atOnce: 1056 },
  { tile: { GROUP_X: 8, GROUP_Y: 8, TILE_K: 8 }, speed: 24, atOnce: 1056 },
];

/** The same with halves. */
export const HALF_TILES: readonly RatedTile<WorkgroupTile>[] = [
  { tile: { GROUP_X: 8, GROUP_Y: 8, TILE_K: 16 }, speed: 39, atOnce: 1056 },
  { tile: { GROUP_X: 16, GROUP_Y: 8, TILE_K: 16 }, speed: 38, atOnce: 528 },
];

/** What a workgroup of the tensor core kernel covers. */
export function matrixTileExtents(tile: MatrixTile, shape: MatrixShape): TileExtents {
  return {
    rows: tile.SUBGROUPS_M * tile.DOWN * shape.MATRIX_M,
    columns: tile.SUBGROUPS_N * tile.ACROSS * shape.MATRIX_N,
  };
}

/** Bytes of workgroup memory that the tensor core kernel takes, as matmul_matrix.wgsl lays it out. */
export function matrixTileBytes(tile: MatrixTile, { MATRIX_M, MATRIX_N, MATRIX_K }: MatrixShape): number {
  const { DOWN, ACROSS, SUBGROUPS_M, SUBGROUPS_N, TILE_K, BUFFERS } = tile;
  const layers = BUFFERS * TILE_K / MATRIX_K;
  const rows = Math.max(SUBGROUPS_M * layers, SUBGROUPS_M * SUBGROUPS_N) *
    MATRIX_M * Math.max(DOWN * (MATRIX_K + 8), 4 * MATRIX_N + 8);
  return 2 * (rows + SUBGROUPS_N * layers * MATRIX_K * (ACROSS * MATRIX_N + 8));
}

/** What a workgroup of the kernel with register tiles covers. */
export function workgroupTileExtents({ GROUP_X, GROUP_Y }: WorkgroupTile): TileExtents {
  return { rows: 8 * GROUP_Y, columns: 8 * GROUP_X };
}

/** Bytes of workgroup memory that the kernel with register tiles takes, as matmul_tile.wgsl lays it out. */
export function workgroupTileBytes({ GROUP_X, GROUP_Y, TILE_K }: WorkgroupTile, half: boolean): number {
  return TILE_K / 4 * (9 * GROUP_Y + 8 * GROUP_X) * 4 * (half ? 2 : 4);
}

/** Whether the subgroup matrices of a device suit the kernel, and it has room for a tile. */
export function matrixTileFits(tile: MatrixTile, shape: MatrixShape, limits: Readonly<DeviceLimits>): boolean {
  const lanes = tile.SUBGROUPS_M * tile.SUBGROUPS_N * shape.SUBGROUP_SIZE;
  const { rows, columns } = matrixTileExtents(tile, shape);
  return tile.TILE_K % shape.MATRIX_K === 0 && shape.MATRIX_K % 8 === 0 && shape.MATRIX_N % 8 === 0 &&
    Math.max(rows, columns) * tile.TILE_K / 8 <= 4 * lanes && // four turns of the lanes fill a tile
    lanes <= Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX) &&
    matrixTileBytes(tile, shape) <= limits.maxComputeWorkgroupStorageSize;
}

/** Whether a device has room for a tile. */
export function workgroupTileFits(tile: WorkgroupTile, half: boolean, limits: Readonly<DeviceLimits>): boolean {
  return tile.GROUP_X * tile.GROUP_Y <= limits.maxComputeInvocationsPerWorkgroup &&
    workgroupTileBytes(tile, half) <= limits.maxComputeWorkgroupStorageSize;
}

/**
 * Chooses the tile that is fastest for a product, counting what it computes beyond the product's edges and the places it leaves empty.
 *
 * @param tiles What they cover and their speeds, at least one.
 * @returns The index of the tile.
 */
export function chooseTile(tiles: readonly (TileExtents & TileSpeed)[], rows: number, columns: number): number {
  const speeds = tiles.map((tile) => {
    const workgroups = Math.ceil(rows / tile.rows) * Math.ceil(columns / tile.columns);
    const places = Math.ceil(workgroups / tile.atOnce) * tile.atOnce;
    return tile.speed * rows * columns / (places * tile.rows * tile.columns);
  });
  return speeds.indexOf(Math.max(...speeds));
}

/** The tensor core tile that is fastest for a product, of those that a device has room for. */
export function chooseMatrixTile(
  shape: MatrixShape,
  limits: Readonly<DeviceLimits>,
  rows: number,
  columns: number,
): MatrixTile | undefined {
  const fitting = MATRIX_TILES.filter(({ tile }) => matrixTileFits(tile, shape, limits))
    .map((rated) => ({ ...matrixTileExtents(rated.tile, shape), ...rated }));
  return fitting.length > 0 ? fitting[chooseTile(fitting, rows, columns)].tile : undefined;
}
