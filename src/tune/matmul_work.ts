// matmul as work to be measured: a linear layer with random weights. In: the extents of a product. Out: its work.

import { Linear } from "../layers/linear.ts";
import { ParameterSet } from "../layers/parameters.ts";
import { matmulVariant } from "../ops/matmul_variants.ts";
import { weightBytes } from "../ops/weight_bytes.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import type { TiledWork } from "./search.ts";
import { disposing, numbers, sample, weightNumbers, weightsOf } from "./work.ts";

/** A linear layer of a network. */
export interface MatmulShape {
  what: string;
  /** Rows, the depth that is summed over, columns. */
  M: number;
  K: number;
  N: number;
}

/** Relative L2 errors that results may have, by the type of weights. */
export const MATMUL_TOLERANCES: Readonly<Partial<Record<WeightDType, number>>> = {
  f32: 1e-5,
  f16: 2e-3,
  int8: 1e-2,
  int4: 1e-1,
};

/** Its inputs: x [M, K], and the weights [N, K] as checkpoints have them. */
export function matmulInputs({ M, K, N }: MatmulShape): { x: Float32Array; w: Float32Array } {
  return { x: numbers(M * K, 1), w: weightNumbers(N * K, 2) };
}

/** The work of a linear layer without a bias. */
export function matmulWork(shape: MatmulShape, dtype: WeightDType): TiledWork {
  const { what, M, K, N } = shape;
  return {
    op: "matmul",
    shape: `${what} ${M}x${K}x${N}`,
    dtype,
    flops: 2 * M * K * N,
    bytes: 4 * M * (K + N) + weightBytes(K, N, dtype),
    tolerance: MATMUL_TOLERANCES[dtype]!,
    extents: { rows: M, columns: N, depth: K, weights: dtype },
    variant: (device) => matmulVariant(device, M, K, { columns: Math.ceil(N / 4) * 4, dtype, inFours: N % 4 === 0 }),
    async open(device) {
      const { x, w } = matmulInputs(shape);
      const parameters = new ParameterSet(device, "a linear layer", dtype, "");
      const linear = new Linear(parameters, "layer", K, N, { bias: false });
      using source = await weightsOf({ "layer.weight": { shape: [N, K], data: w } });
      await parameters.load(source);
      const input = device.upload(x, [M, K]);
      return {
        record: (rec) => linear.forward(rec, input),
        [Symbol.dispose]: disposing(parameters, input),
      };
    },
    expected() {
      const { x, w } = matmulInputs(shape);
      return sample(M * N, (place) => {
        const m = Math.floor(place / N), n = place % N;
        let sum = 0;
        for (let k = 0; k < K; k++) sum += x[m * K + k] * w[n * K + k];
        return sum;
      });
    },
  };
}
