// attention at the shapes of PixArt-Σ: tokens to tokens, tokens to the caption, T5 with its bias, the VAE's one wide head.

import { attention } from "../../src/ops/attention.ts";
import { prefersRows } from "../../src/ops/attention_variants.ts";
import { numbers } from "../../tests/_reference.ts";
import { type Case, disposing, type Sample, spreadPlaces } from "../case.ts";

interface Shape {
  what: string;
  heads: number;
  headWidth: number;
  queries: number;
  keys: number;
  masked?: boolean;
  biased?: boolean;
  words: string[];
  peers?: boolean;
  quick?: boolean;
}

const self = (tokens: number, word: string, quick = false): Shape => {
  return { what: "self", heads: 16, headWidth: 72, queries: tokens, keys: tokens, words: [word], peers: true, quick };
};
const captions = (tokens: number, word: string): Shape => {
  return { what: "caption", heads: 16, headWidth: 72, queries: tokens, keys: 300, masked: true, words: [word] };
};
const vae = (pixels: number, word: string): Shape => {
  return { what: "vae", heads: 1, headWidth: 512, queries: pixels, keys: pixels, words: ["vae", word] };
};

const SHAPES: Shape[] = [
  self(256, "256"),
  self(1024, "512", true),
  self(4096, "1024"),
  captions(256, "256"),
  captions(1024, "512"),
  captions(4096, "1024"),
  { what: "t5", heads: 64, headWidth: 64, queries: 300, keys: 300, masked: true, biased: true, words: ["t5"] },
  vae(1024, "256"),
  vae(4096, "512"),
  vae(16384, "1024"),
];

/** Inputs of a shape; queries and keys a little large, so that the softmax is not flat. */
function inputs({ heads, headWidth, queries, keys, masked, biased }: Shape) {
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
function expectedRows(shape: Shape): Sample {
  const { heads, headWidth: D, queries, keys } = shape;
  const { q, k, v, mask, bias } = inputs(shape);
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

/** @param dtype f16 lets queries, keys and values be rounded to halves, as models with such weights do; sums are f32. */
function attentionCase(shape: Shape, dtype: "f32" | "f16"): Case {
  const { what, heads, headWidth, queries, keys, words, peers, quick } = shape;
  const C = heads * headWidth;
  return {
    op: "attention",
    shape: `${what} ${heads}x${queries}x${keys}x${headWidth}`,
    dtype,
    words,
    only: dtype === "f16" ? "gpu" : undefined, // a CPU does the same
    flops: 4 * queries * keys * C,
    bytes: 4 * C * 2 * (queries + keys),
    tolerance: dtype === "f32" ? 1e-5 : 5e-3,
    quick,
    large: queries * keys * C > 1e10,
    open(device) {
      const { q, k, v, mask, bias } = inputs(shape);
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
            ...{ batch: 1, heads, headWidth, queries, keys, scale: headWidth ** -0.5 },
            halves: dtype === "f16",
            mask: M,
            relativeBias: B,
          }),
        [Symbol.dispose]: disposing(...owned),
      });
    },
    expected: () => expectedRows(shape),
    peer: !peers ? undefined : {
      kind: "attention",
      extents: { heads, headWidth, queries, keys },
      inputs: () => {
        const { q, k, v } = inputs(shape);
        const array = (data: Float32Array, tokens: number) => ({ shape: [tokens, heads, headWidth], data });
        return Promise.resolve({ q: array(q, queries), k: array(k, keys), v: array(v, keys) });
      },
    },
  };
}

/** All of them. */
export const attentionCases: readonly Case[] = SHAPES.flatMap((shape) => [
  attentionCase(shape, "f32"),
  attentionCase(shape, "f16"),
]);
