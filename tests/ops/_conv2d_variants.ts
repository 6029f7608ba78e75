// Every convolution kernel that this device can run, whichever it would choose, and which convolutions each takes.

import { type ConvVariant, matrixConv, portableConv, tileConv, wideConv } from "../../src/ops/conv2d_variants.ts";
import { matrixShape } from "../../src/ops/matmul_variants.ts";
import type { FloatDType } from "../../src/ops/weight_kernels.ts";
import { device } from "../_device.ts";

/** A kernel to test. */
export interface Candidate {
  name: string;
  variant: ConvVariant;
  /** Error relative to the largest result. */
  tolerance: number;
  takes(inChannels: number, outChannels: number, weights: FloatDType): boolean;
}

function matrixCandidates(): Candidate[] {
  const shape = matrixShape(device);
  if (!shape) return [];
  const extents = { DOWN: 2, ACROSS: 2, SUBGROUPS_M: 1, SUBGROUPS_N: 2 } as const;
  const tile = { ...extents, TILE_K: 2 * shape.MATRIX_K, BUFFERS: 2 } as const;
  return [{
    name: "matrix",
    variant: matrixConv(tile, shape),
    tolerance: 1e-3,
    takes: (inChannels, outChannels, weights) => weights === "f16" && inChannels % 64 === 0 && outChannels % 8 === 0,
  }];
}

/** Kernels by the order of their demands. */
export const CANDIDATES: readonly Candidate[] = [
  { name: "portable", variant: portableConv(), tolerance: 1e-5, takes: () => true },
  ...(device.subgroupSize === 8 ? [1, 4] : []).map((tiles) => ({
    name: `wide, ${8 * tiles} outputs a workgroup`,
    variant: wideConv({ TILES: tiles }),
    tolerance: 1e-5,
    takes: (inChannels: number, outChannels: number) => inChannels % 4 === 0 && outChannels % 4 === 0,
  })),
  {
    name: "tile",
    variant: tileConv(),
    tolerance: 1e-5,
    takes: (inChannels, outChannels) => inChannels % 16 === 0 && outChannels % 4 === 0,
  },
  ...matrixCandidates(),
];
