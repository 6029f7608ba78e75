// attention at the shapes of PixArt at 512 pixels: self-attention and captions of a DiT block, T5, the VAE's one wide head.

import { attention } from "../src/ops/attention.ts";
import { attentionVariant, portableAttention, prefersRows } from "../src/ops/attention_variants.ts";
import { assertClose, numbers } from "../tests/_reference.ts";
import { benchOp, device } from "./_bench.ts";

const SHAPES = [
  { what: "self", heads: 16, headWidth: 72, queries: 1024, keys: 1024, masked: false, biased: false },
  { what: "captions", heads: 16, headWidth: 72, queries: 1024, keys: 300, masked: true, biased: false },
  { what: "T5", heads: 64, headWidth: 64, queries: 300, keys: 300, masked: true, biased: true },
  { what: "VAE", heads: 1, headWidth: 512, queries: 1024, keys: 1024, masked: false, biased: false },
];

for (const { what, heads, headWidth: D, queries, keys, masked, biased } of SHAPES) {
  const C = heads * D, scale = D ** -0.5;
  const q = numbers(queries * C, 1, 3), k = numbers(keys * C, 2, 3), v = numbers(keys * C, 3);
  const mask = Float32Array.from({ length: keys }, (_, i) => masked && i > keys / 2 ? -10000 : 0);
  const bias = numbers(heads * (queries + keys - 1), 4, biased ? 1 : 0);
  const [Q, K, V] = [q, k, v].map((data) => ({
    tensor: device.upload(data, [data.length / C, C]),
    stride: C,
    offset: 0,
  }));
  const added = {
    mask: masked ? device.upload(mask, [1, keys]) : undefined,
    relativeBias: biased ? device.upload(bias, [heads, queries + keys - 1]) : undefined,
  };
  const expected = (i: number, h: number) => {
    const scores = Array.from(mask, (hidden, j) => {
      let score = 0;
      for (let d = 0; d < D; d++) score += q[i * C + h * D + d] * k[j * C + h * D + d];
      return score * scale + hidden + bias[h * (queries + keys - 1) + j - i + queries - 1];
    });
    const highest = scores.reduce((a, b) => Math.max(a, b));
    const weights = scores.map((score) => Math.exp(score - highest));
    const total = weights.reduce((a, b) => a + b);
    return Array.from({ length: D }, (_, d) => {
      let sum = 0;
      for (let j = 0; j < keys; j++) sum += weights[j] * v[j * C + h * D + d];
      return sum / total;
    });
  };
  // With no variant, attention() may also go by rows.
  const names = ["portable", prefersRows(device, heads === 1, D) ? "rows" : attentionVariant(device, D).name];
  for (const name of new Set(names)) {
    benchOp({
      op: "attention",
      shape: `${what} ${heads}x${queries}x${keys}x${D}`,
      dtype: "f32",
      name,
      baseline: name === "portable",
      flops: 4 * queries * keys * C,
      repetitions: 1,
      record: (rec) =>
        attention(rec, Q, K, V, {
          batch: 1,
          heads,
          headWidth: D,
          queries,
          keys,
          scale,
          ...added,
          variant: name === "portable" ? portableAttention(D) : undefined,
        }),
      check: (y) => {
        for (const [i, h] of [[0, 0], [queries >> 1, heads - 1], [queries - 1, heads >> 1]]) {
          assertClose(y.subarray(i * C + h * D, i * C + (h + 1) * D), expected(i, h), 1e-5);
        }
      },
    });
  }
}
