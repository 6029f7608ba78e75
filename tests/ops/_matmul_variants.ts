// Every matmul kernel that this device can run, whichever it would choose, and which products each takes.

import {
  type MatmulVariant,
  matrixMatmul,
  matrixShape,
  portableMatmul,
  tileMatmul,
  wideMatmul,
} from "../../src/ops/matmul_variants.ts";
import type { WorkgroupTile } from "../../src/ops/matmul_tiles.ts";
import type { WeightDType } from "../../src/ops/weight_kernels.ts";
import { device } from "../_device.ts";

/** Extents of a product, and how its weights are stored. */
export interface TestProduct {
  K: number;
  N: number;
  dtype: WeightDType;
  /** Whether strides and offsets, too, are multiples of four; N decides when not given. */
  inFours?: boolean;
}

/** A kernel to test. */
export interface Candidate {
  name: string;
  variant: MatmulVariant;
  /** Error relative to the largest result: in f32, or with factors or sums of f16. */
  tolerance: number;
  takes(product: TestProduct): boolean;
}

const inFours = ({ K, N, inFours = true }: TestProduct) => inFours && K % 4 === 0 && N % 4 === 0;

const SMALL_TILE: WorkgroupTile = { GROUP_X: 4, GROUP_Y: 2, TILE_K: 8 };

function tileCandidates(): Candidate[] {
  const exact = { name: "tile", variant: tileMatmul(SMALL_TILE), tolerance: 3e-6, takes: inFours };
  const half = { name: "tile-f16", variant: tileMatmul(SMALL_TILE, true), tolerance: 4e-3, takes: inFours };
  return device.features.has("shader-f16") ? [exact, half] : [exact];
}

function matrixCandidates(): Candidate[] {
  const shape = matrixShape(device);
  if (!shape) return [];
  const { MATRIX_K } = shape;
  return ([1, 2] as const).map((BUFFERS) => ({
    name: `matrix with ${BUFFERS} pairs of tiles`,
    variant: matrixMatmul({ DOWN: 3, ACROSS: 2, SUBGROUPS_M: 1, SUBGROUPS_N: 2, TILE_K: 2 * MATRIX_K, BUFFERS }, shape),
    tolerance: 1e-3,
    takes: (product: TestProduct) =>
      inFours(product) && product.dtype !== "f32" && (product.dtype !== "f16" || product.N % 8 === 0),
  }));
}

/** Kernels by the order of their demands. */
export const CANDIDATES: readonly Candidate[] = [
  ...[1, 64].map((rows) => portableMatmul(rows)).map((variant) => ({
    name: `portable, ${variant.rows} rows a workgroup`,
    variant,
    tolerance: 3e-6,
    takes: () => true,
  })),
  ...(device.subgroupSize === 8 ? [1, 4] : []).map((TILES) => wideMatmul({ TILES })).map((variant) => ({
    name: `wide, ${variant.rows} rows a workgroup`,
    variant,
    tolerance: 3e-6,
    takes: ({ K }: TestProduct) => K % 4 === 0,
  })),
  ...tileCandidates(),
  ...matrixCandidates(),
];
