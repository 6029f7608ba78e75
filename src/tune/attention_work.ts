// attention as work to be measured: heads with random numbers in them. In: how many of what width. Out: its work.

import { attention } from "../ops/attention.ts";
import { attentionVariant, prefersRows } from "../ops/attention_variants.ts";
import type { FloatDType } from "../ops/weight_kernels.ts";
import type { TiledWork } from "./search.ts";
import { disposing, numbers, type Sample, spreadPlaces } from "./work.ts";

/** An attention of a network, for one sample. */
export interface AttentionWorkShape {
  what: string;
  heads: number;
  headWidth: number;
  queries: number;
  keys: number;
  masked?: boolean;
  biased?: boolean;
}

/** Its inputs; queries and keys a little large, so that the softmax is not flat. */
export function attentionInputs({ heads, headWidth, queries, keys, masked, biased }: AttentionWorkShape) {
  const C = heads * headWidth;
  return {
    q: numbers(queries * C, 1, 2),
    k: numbers(keys * C, 2, 2),
    v: numbers(keys * C, 3),
    mask: masked ? Float32Array.from({ length: keys }, (_, i) => i > keys / 2 ? -10000 : 0) : undefined,
    bias: biased ? numbers(heads * (queries + keys - 1), 4) : undefined,
  };
}

/** Whole rows of some heads, since the scores of a row are most of its cost. */
function expectedRows(shape: AttentionWorkShape): Sample {
  const { heads, headWidth: D, queries, keys } = shape;
  const { q, k, v, mask, bias } = attentionInputs(shape);
  const C = heads * D, scale = D ** -0.5;
  const rows = spreadPlaces(queries * heads, 6);
  const places: number[] = [], values: number[] = [];
  for (const row of rows) {
    const i = Math.floor(row / heads), h = row % heads;
    const scores = Float64Array.from({ length: keys }, (_, j) => {
      let score = 0;
      for (let d = 0; d < D; d++) score += q[i * C + h * D + d] * k[j * C + h * D + d];
      return score * scale + (mask?.[j] ?? 0) + (bias?.[h * (queries + keys - 1) + j - i + queries - 1] ?? 0);
    });
    const highest = scores.reduce((a, b) => Math.max(a, b));
    const weights = scores.map((score) => Math.exp(score - highest));
    const total = weights.reduce((a, b) => a + b);
    for (let d = 0; d < D; d++) {
      let sum = 0;
      for (let j = 0; j < keys; j++) sum += weights[j] * v[j * C + h * D + d];
      places.push(i * C + h * D + d);
      values.push(sum / total);
    }
  }
  return { places: Uint32Array.from(places), values: Float32Array.from(values) };
}

/**
 * The work of attention.
 *
 * @param dtype f16 lets queries, keys and values be rounded to halves, as models with such weights do; sums are f32.
 */
export function attentionWork(shape: AttentionWorkShape, dtype: FloatDType): TiledWork {
  const { what, heads, headWidth, queries, keys } = shape;
  const C = heads * headWidth, halves = dtype === "f16";
  return {
    op: "attention",
    shape: `${what} ${heads}x${queries}x${keys}x${headWidth}`,
    dtype,
    flops: 4 * queries * keys * C,
    bytes: 4 * C * 2 * (queries + keys),
    tolerance: halves ? 5e-3 : 1e-5,
    extents: { rows: queries, columns: headWidth, depth: keys },
    variant: (device) => attentionVariant(device, { headWidth, queries, halves }),
    open(device) {
      const { q, k, v, mask, bias } = attentionInputs(shape);
      const [Q, K, V] = [q, k, v].map((data) => ({
        tensor: device.upload(data, [data.length / C, C]),
        stride: C,
        offset: 0,
      }));
      const M = mask && device.upload(mask, [1, keys]);
      const B = bias && device.upload(bias, [heads, queries + keys - 1]);
      const owned = [Q.tensor, K.tensor, V.tensor, M, B].filter((tensor) => tensor !== undefined);
      return Promise.resolve({
        variant: prefersRows(device, { dense: heads === 1, headWidth, keys }) ? "rows" : undefined,
        record: (rec) =>
          attention(rec, Q, K, V, {
            ...{ batch: 1, heads, headWidth, queries, keys, scale: headWidth ** -0.5, halves },
            mask: M,
            relativeBias: B,
          }),
        [Symbol.dispose]: disposing(...owned),
      });
    },
    expected: () => expectedRows(shape),
  };
}
