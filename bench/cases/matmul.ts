// matmul at the shapes of PixArt-Σ: the linear layers of a block, keys and values of the caption, T5's.

import { isFloatDType, type WeightDType } from "../../src/ops/weight_kernels.ts";
import { matmulInputs, type MatmulShape, matmulWork } from "../../src/tune/matmul_work.ts";
import { type Case, WEIGHT_DTYPES } from "../case.ts";

interface Shape extends MatmulShape {
  words: string[];
  peers?: boolean;
  quick?: boolean;
}

const C = 1152;

/** The linear layers of a block for a picture of so many tokens. */
const block = (words: string[], tokens: number): Shape[] => [
  { what: "proj", M: tokens, K: C, N: C, words, peers: true, quick: tokens === 1024 },
  { what: "qkv", M: tokens, K: C, N: 3 * C, words },
  { what: "mlp-up", M: tokens, K: C, N: 4 * C, words, peers: true },
  { what: "mlp-down", M: tokens, K: 4 * C, N: C, words },
];

const SHAPES: Shape[] = [
  ...block(["256"], 256),
  ...block(["512"], 1024),
  ...block(["1024"], 4096),
  { what: "caption-kv", M: 300, K: C, N: 2 * C, words: ["256", "512", "1024"] },
  { what: "t5-qkv", M: 300, K: 4096, N: 3 * 4096, words: ["t5"] },
  { what: "t5-up", M: 300, K: 4096, N: 10240, words: ["t5"] },
];

function matmulCase(shape: Shape, dtype: WeightDType): Case {
  const { M, K, N, words, peers, quick } = shape;
  return {
    ...matmulWork(shape, dtype),
    words,
    quick: quick && isFloatDType(dtype),
    large: M * K * N > 6e9,
    peer: !peers || !isFloatDType(dtype) ? undefined : {
      kind: "matmul",
      extents: { M, K, N },
      inputs: () => {
        const { x, w } = matmulInputs(shape), transposed = new Float32Array(K * N);
        for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) transposed[k * N + n] = w[n * K + k];
        return Promise.resolve({
          x: { shape: [M, K], data: x },
          w: { shape: [K, N], data: transposed },
        });
      },
    },
  };
}

/** All of them, in every type of weights. */
export const matmulCases: readonly Case[] = SHAPES.flatMap((shape) =>
  Object.keys(WEIGHT_DTYPES).map((dtype) => matmulCase(shape, dtype as WeightDType))
);
