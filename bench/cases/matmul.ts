// matmul at the shapes of PixArt-Σ: the linear layers of a block, keys and values of the caption, T5's.

import { Linear } from "../../src/layers/linear.ts";
import { ParameterSet } from "../../src/layers/parameters.ts";
import { weightBytes } from "../../src/ops/weight_bytes.ts";
import { isFloatDType, type WeightDType } from "../../src/ops/weight_kernels.ts";
import { numbers } from "../../tests/_reference.ts";
import { type Case, disposing, sample, WEIGHT_DTYPES, weightsOf } from "../case.ts";

interface Shape {
  what: string;
  /** Rows, the depth that is summed over, columns. */
  M: number;
  K: number;
  N: number;
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

function matmulCase({ what, M, K, N, words, peers, quick }: Shape, dtype: WeightDType, tolerance: number): Case {
  // Halves hold these exactly; [out, in] as checkpoints have them.
  const weight = () => numbers(N * K, 2).map((value) => Math.round(value * 512) / 512);
  const input = () => numbers(M * K, 1);
  return {
    op: "matmul",
    shape: `${what} ${M}x${K}x${N}`,
    dtype,
    words,
    flops: 2 * M * K * N,
    bytes: 4 * M * (K + N) + weightBytes(K, N, dtype),
    tolerance,
    quick: quick && isFloatDType(dtype),
    large: M * K * N > 6e9,
    async open(device) {
      const parameters = new ParameterSet(device, "bench", dtype, "");
      const linear = new Linear(parameters, "layer", K, N, { bias: false });
      using source = await weightsOf({ "layer.weight": { shape: [N, K], data: weight() } });
      await parameters.load(source);
      const x = device.upload(input(), [M, K]);
      return {
        record: (rec) => linear.forward(rec, x),
        [Symbol.dispose]: disposing(parameters, x),
      };
    },
    expected() {
      const x = input(), w = weight();
      return sample(M * N, (place) => {
        const m = Math.floor(place / N), n = place % N;
        let sum = 0;
        for (let k = 0; k < K; k++) sum += x[m * K + k] * w[n * K + k];
        return sum;
      });
    },
    peer: !peers || !isFloatDType(dtype) ? undefined : {
      kind: "matmul",
      extents: { M, K, N },
      inputs: () => {
        const w = weight(), transposed = new Float32Array(K * N);
        for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) transposed[k * N + n] = w[n * K + k];
        return Promise.resolve({
          x: { shape: [M, K], data: input() },
          w: { shape: [K, N], data: transposed },
        });
      },
    },
  };
}

/** All of them, in every type of weights. */
export const matmulCases: readonly Case[] = SHAPES.flatMap((shape) =>
  Object.entries(WEIGHT_DTYPES).map(([dtype, tolerance]) => matmulCase(shape, dtype as WeightDType, tolerance))
);
