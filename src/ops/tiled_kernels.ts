// The texts of all kernels that have tiles to choose from. Nothing in. Out: texts; where one of them changes, what was measured of
// tiles before is of another kernel.

import type { KernelSource } from "../gpu/kernel.ts";
import { matrixAttention, tileAttention } from "./attention_variants.ts";
import { matrixConv, wideConv } from "./conv2d_variants.ts";
import { matrixMatmul, tileMatmul, wideMatmul } from "./matmul_variants.ts";
import { SHIPPED_TILES } from "./tile_tables.ts";

/** The texts of the kernels, and the tiles that they may have. */
export function tiledKernelTexts(): string[] {
  const { matmul, attention, conv2d } = SHIPPED_TILES;
  const shape = { MATRIX_M: 16, MATRIX_N: 16, MATRIX_K: 16, SUBGROUP_SIZE: 32 };
  const matrix = matmul.matrix.candidates[0].tile;
  const variants = [
    matrixMatmul(matrix, shape),
    tileMatmul(matmul.tile.candidates[0].tile),
    wideMatmul(matmul.wide.candidates[0].tile),
    matrixAttention(72, attention.matrix.candidates[0].tile, shape),
    tileAttention(72, attention.tile.candidates[0].tile),
    matrixConv(matrix, shape),
    wideConv(conv2d.wide.candidates[0].tile),
  ];
  const sources = variants.flatMap(({ kernels }) => Object.values(kernels) as KernelSource[]);
  const tiles = [matmul, attention, conv2d].flatMap((kinds) => Object.values(kinds)).map(({ candidates }) =>
    candidates
  );
  return [...sources.flatMap(({ source, shared = [] }) => [source, ...shared]), JSON.stringify(tiles)];
}
