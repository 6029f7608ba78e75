// Tiles of the matmul kernels: how a workgroup shares out its part of the product. In: a tile, what a device has room for. Out: what
// it covers, what it takes, and whether the kernel has such a form. Convolutions by tensor cores have the same.

import type { DeviceLimits } from "../gpu/device.ts";
import { HALVES_STEP } from "./pack_halves.ts";
import { chooseTile, type ProductExtents, type TileExtents, type TileTable } from "./tile_table.ts";

/** How the tensor core kernel shares out its work. */
export interface MatrixTile {
  /** Matrices of the result above each other in a subgroup, up to 4. */
  DOWN: number;
  /** Matrices of the result side by side in a subgroup, 2 or 4. */
  ACROSS: number;
  /** Subgroups above each other. */
  SUBGROUPS_M: number;
  /** Subgroups side by side. */
  SUBGROUPS_N: number;
  /** Steps of k that are in workgroup memory at a time. */
  TILE_K: number;
  /** 1; or 2: one pair of tiles is filled while the other is multiplied. */
  BUFFERS: number;
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

/** How the kernels for wide CPUs share out their work: a subgroup of 8 lanes has 32 columns. */
export interface WideTile {
  /** Eights of rows that a subgroup has, 1 or 4. */
  TILES: number;
}

/** The shape of one subgroup matrix product, and the lanes that do it. */
export interface MatrixShape {
  MATRIX_M: number;
  MATRIX_N: number;
  MATRIX_K: number;
  SUBGROUP_SIZE: number;
}

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

/** Whether matmul_matrix.wgsl has such a form; x comes in whole steps of k. */
export function isMatrixTile({ DOWN, ACROSS, TILE_K, BUFFERS }: MatrixTile): boolean {
  return DOWN <= 4 && (ACROSS === 2 || ACROSS === 4) && TILE_K % 8 === 0 && HALVES_STEP % TILE_K === 0 && BUFFERS <= 2;
}

/** Whether matmul_tile.wgsl has such a form: four turns of the lanes fetch a tile of x, two one of the weights. */
export function isWorkgroupTile({ GROUP_X, GROUP_Y, TILE_K }: WorkgroupTile): boolean {
  return TILE_K % 4 === 0 && 2 * TILE_K <= 4 * GROUP_X && TILE_K <= 4 * GROUP_Y;
}

/** What a subgroup of the wide kernels covers. */
export function wideTileExtents({ TILES }: WideTile): TileExtents {
  return { rows: 8 * TILES, columns: 32 };
}

/** Whether matmul_wide.wgsl and conv2d_wide.wgsl have such a form. */
export function isWideTile({ TILES }: WideTile): boolean {
  return TILES === 1 || TILES === 4;
}

/** The tensor core tile that is fastest for a product, of those that a device has room for. */
export function chooseMatrixTile(
  table: TileTable<MatrixTile>,
  shape: MatrixShape,
  limits: Readonly<DeviceLimits>,
  product: ProductExtents,
): MatrixTile | undefined {
  return chooseTile(
    table,
    product,
    (tile) => matrixTileFits(tile, shape, limits) ? matrixTileExtents(tile, shape) : undefined,
  );
}

/** The tile in workgroup memory that is fastest for a product, of those that a device has room for. */
export function chooseWorkgroupTile(
  table: TileTable<WorkgroupTile>,
  half: boolean,
  limits: Readonly<DeviceLimits>,
  product: ProductExtents,
): WorkgroupTile | undefined {
  return chooseTile(
    table,
    product,
    (tile) => workgroupTileFits(tile, half, limits) ? workgroupTileExtents(tile) : undefined,
  );
}
