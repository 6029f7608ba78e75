// Tiles of the attention kernels for GPUs: how a workgroup shares out its queries. In: a tile, the width of a head, what a device has
// room for. Out: whether it fits.

import type { DeviceLimits } from "../gpu/device.ts";
import type { MatrixShape } from "./matmul_tiles.ts";

/** How the kernel for GPUs without tensor cores shares out its work: rows of 8 lanes, and fours of queries of a lane. */
export interface AttentionTile {
  GY: number;
  /** 1 or 2. */
  FOURS: number;
}

/** How the kernel for tensor cores does: each subgroup owns as many queries as two matrices have rows. */
export interface AttentionSubgroups {
  SUBGROUPS: number;
}

/** Whether attention_tile.wgsl has such a form. */
export function isAttentionTile({ FOURS }: AttentionTile): boolean {
  return FOURS <= 2;
}

/** Whether a device has room for a tile, as attention_tile.wgsl lays it out. */
export function attentionTileFits(
  { GY, FOURS }: AttentionTile,
  headWidth: number,
  limits: Readonly<DeviceLimits>,
): boolean {
  const quads = 32 * (headWidth / 4 | 1) + (32 + 8) * GY * FOURS;
  return headWidth <= 128 && 8 * GY <= limits.maxComputeInvocationsPerWorkgroup &&
    GY <= limits.maxComputeWorkgroupSizeY && quads * 16 <= limits.maxComputeWorkgroupStorageSize;
}

/** Halves of a row that the kernel for tensor cores works on. */
export function attentionDepth(headWidth: number, { MATRIX_N, MATRIX_K }: MatrixShape): number {
  const step = Math.max(MATRIX_N, MATRIX_K);
  return Math.ceil(headWidth / step) * step;
}

/** Whether subgroup matrices are such as attention_matrix.wgsl reckons with, and a device has room for what it lays out. */
export function attentionSubgroupsFit(
  { SUBGROUPS }: AttentionSubgroups,
  headWidth: number,
  shape: MatrixShape,
  limits: Readonly<DeviceLimits>,
): boolean {
  const { MATRIX_M, MATRIX_N, MATRIX_K, SUBGROUP_SIZE } = shape;
  const rows = 2 * MATRIX_M, block = 2 * MATRIX_N, lanes = SUBGROUPS * SUBGROUP_SIZE;
  const depth = attentionDepth(headWidth, shape);
  const bytes = SUBGROUPS * rows * (block / 4 + 1) * 16 + 4 * block * (depth / 8 + 1) * 16;
  const others = SUBGROUPS * rows * 4 + 2 * block * 4 + 4;
  const turns = Math.ceil(block * depth / 8 / lanes);
  return [8, 16].includes(MATRIX_N) && MATRIX_K % 8 === 0 && [MATRIX_K, 2 * MATRIX_K].includes(block) && turns <= 5 &&
    depth < 2 * headWidth && // else heads would be mostly padding
    depth % MATRIX_N === 0 && depth % MATRIX_K === 0 && depth <= 9 * Math.min(MATRIX_N, MATRIX_K) &&
    rows <= 2 * SUBGROUP_SIZE && lanes <= limits.maxComputeInvocationsPerWorkgroup &&
    bytes + others <= limits.maxComputeWorkgroupStorageSize;
}
