// Tiles of the matmul kernels that use workgroup memory: how a workgroup shares out its part of the product. In: the extents of a
// product, what a device has room for. Out: the tile to use. The order and the numbers are what a GPU measured.

import type { DeviceLimits } from "../gpu/device.ts";

/** How the tensor core kernel shares out its work. */
export interface MatrixTile {
  TILE_M: number;
  TILE_N: number;
  TILE_K: number;
  /** Subgroups above each other. */
  SUBGROUPS_M: number;
  /** Subgroups side by side. */
  SUBGROUPS_N: number;
  /** 2: one pair of tiles is filled while the other is multiplied. */
  BUFFERS: 1 | 2;
}

/** How the kernel for GPUs without tensor cores shares out its work. */
export interface WorkgroupTile {
  TILE_M: number;
  TILE_N: number;
  TILE_K: number;
  /** Lanes side by side; each has quads of columns that are so many quads apart. */
  GROUP_X: number;
  /** Lanes above each other. */
  GROUP_Y: number;
}

/** The shape of one subgroup matrix product, and the lanes that do it. */
export interface MatrixShape {
  MATRIX_M: number;
  MATRIX_N: number;
  MATRIX_K: number;
  SUBGROUP_SIZE: number;
}

function matrixTile(
  TILE_M: number,
  TILE_N: number,
  TILE_K: number,
  SUBGROUPS_M: number,
  SUBGROUPS_N: number,
  BUFFERS: 1 | 2,
): MatrixTile {
  return { TILE_M, TILE_N, TILE_K, SUBGROUPS_M, SUBGROUPS_N, BUFFERS };
}

function workgroupTile(
  TILE_M: number,
  TILE_N: number,
  TILE_K: number,
  GROUP_X: number,
  GROUP_Y: number,
): WorkgroupTile {
  return { TILE_M, TILE_N, TILE_K, GROUP_X, GROUP_Y };
}

/** For tensor cores, the one that does most work a byte first. */
export const MATRIX_TILES: readonly MatrixTile[] = [
  matrixTile(128, 128, 32, 2, 2, 2),
  matrixTile(64, 128, 32, 2, 2, 2),
  matrixTile(64, 64, 32, 2, 2, 2),
  matrixTile(32, 64, 16, 2, 2, 1),
];

/** For other GPUs, the one that does most work a byte first. */
export const WORKGROUP_TILES: readonly WorkgroupTile[] = [
  workgroupTile(128, 128, 16, 16, 16),
  workgroupTile(64, 64, 16, 8, 8),
];

// Workgroups that keep a large GPU busy: fewer leave more of it idle than a better tile wins.
const ENOUGH_WORKGROUPS = 128;

/** Bytes of workgroup memory that the tensor core kernel takes, as matmul_matrix.wgsl lays it out. */
export function matrixTileBytes(tile: MatrixTile, { MATRIX_M }: MatrixShape): number {
  const { TILE_M, TILE_N, TILE_K, SUBGROUPS_M, SUBGROUPS_N, BUFFERS } = tile;
  const tiles = BUFFERS * (TILE_M * (TILE_K + 8) + TILE_K * (TILE_N + 8)) * 2;
  return Math.max(tiles, SUBGROUPS_M * MATRIX_M * (TILE_N + SUBGROUPS_N * 4) * 4);
}

/** Bytes of workgroup memory that the kernel with register tiles takes, as matmul_tile.wgsl lays it out. */
export function workgroupTileBytes({ TILE_M, TILE_N, TILE_K }: WorkgroupTile, half: boolean): number {
  return (TILE_M * (TILE_K + 4) + TILE_K * TILE_N) * (half ? 2 : 4);
}

/** Whether a tile is made of whole subgroup matrices, and a device has room for it. */
export function matrixTileFits(tile: MatrixTile, shape: MatrixShape, limits: Readonly<DeviceLimits>): boolean {
  const { TILE_M, TILE_N, TILE_K, SUBGROUPS_M, SUBGROUPS_N } = tile;
  const lanes = SUBGROUPS_M * SUBGROUPS_N * shape.SUBGROUP_SIZE;
  return TILE_M % (SUBGROUPS_M * shape.MATRIX_M) === 0 && TILE_N % (SUBGROUPS_N * shape.MATRIX_N) === 0 &&
    TILE_K % shape.MATRIX_K === 0 && shape.MATRIX_K % 8 === 0 && shape.MATRIX_N % 8 === 0 &&
    lanes <= Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX) &&
    matrixTileBytes(tile, shape) <= limits.maxComputeWorkgroupStorageSize;
}

/** Whether a device has room for a tile. */
export function workgroupTileFits(tile: WorkgroupTile, half: boolean, limits: Readonly<DeviceLimits>): boolean {
  return tile.GROUP_X * tile.GROUP_Y <= limits.maxComputeInvocationsPerWorkgroup &&
    workgroupTileBytes(tile, half) <= limits.maxComputeWorkgroupStorageSize;
}

/**
 * Chooses the first tile that gives a product enough workgroups, or the one that gives it most.
 *
 * @param tiles Those that fit, at least one.
 */
export function chooseTile<T extends { TILE_M: number; TILE_N: number }>(
  tiles: readonly T[],
  rows: number,
  columns: number,
): T {
  const workgroups = ({ TILE_M, TILE_N }: T) => Math.ceil(rows / TILE_M) * Math.ceil(columns / TILE_N);
  return tiles.find((tile) => workgroups(tile) >= ENOUGH_WORKGROUPS) ??
    tiles.reduce((most, tile) => workgroups(tile) > workgroups(most) ? tile : most);
}
