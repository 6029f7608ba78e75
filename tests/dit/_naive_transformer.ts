// The PixArt transformer as plain as its definition: loops in doubles over one sample. In: weights by their names in diffusers, latents,
// a caption and a time. Out: the prediction. transformer_golden_test.ts holds it to PyTorch's numbers.

import type { TransformerConfig } from "../../src/dit/config.ts";
import { positionEmbedding } from "../../src/dit/position_embedding.ts";
import { readFloats, type WeightSource } from "../../src/io/weights.ts";

type Rows = Float64Array[];
type Weights = ReadonlyMap<string, ArrayLike<number>>;

/** One sample for the network. */
export interface NaiveSample {
  /** [inChannels, h, w] */
  latents: ArrayLike<number>;
  height: number;
  width: number;
  /** [L, captionChannels] */
  caption: ArrayLike<number>;
  /** [L], 1 keeps and 0 masks a token. */
  mask: ArrayLike<number>;
  timestep: number;
  /** Blocks whose self-attention gives each token its own value. */
  perturbed?: ReadonlySet<number>;
  /** Weights of a ControlNet, and its condition [inChannels, h, w]. */
  control?: { weights: Weights; copies: number; condition: ArrayLike<number>; scale: number };
}

/** All tensors of a checkpoint as floats. */
export async function readAllFloats(source: WeightSource): Promise<Map<string, Float32Array>> {
  const weights = new Map<string, Float32Array>();
  for (const name of source.names()) weights.set(name, await readFloats(source, name));
  return weights;
}

const rowsOf = (data: ArrayLike<number>, width: number): Rows =>
  Array.from(
    { length: data.length / width },
    (_, i) => Float64Array.from({ length: width }, (_, j) => data[i * width + j]),
  );
const sum = (a: Rows, b: Rows, factor: (j: number) => number = () => 1): Rows =>
  a.map((row, i) => row.map((value, j) => value + factor(j) * b[i][j]));
const silu = (x: number) => x / (1 + Math.exp(-x));
const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

function linear(weights: Weights, name: string, x: Rows): Rows {
  const bias = weights.get(`${name}.bias`)!, weight = weights.get(`${name}.weight`)!;
  return x.map((row) =>
    Float64Array.from(
      bias,
      (start, out) => row.reduce((total, v, k) => total + v * weight[out * row.length + k], start),
    )
  );
}

/** LayerNorm without weights, then x (1 + scale) + shift. */
function modulatedNorm(x: Rows, shift: ArrayLike<number>, scale: ArrayLike<number>): Rows {
  return x.map((row) => {
    const mean = row.reduce((a, b) => a + b) / row.length;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / row.length;
    return row.map((value, j) => (value - mean) / Math.sqrt(variance + 1e-6) * (1 + scale[j]) + shift[j]);
  });
}

function attend(q: Rows, k: Rows, v: Rows, heads: number, bias?: ArrayLike<number>): Rows {
  const width = q[0].length, headWidth = width / heads;
  return q.map((query) => {
    const out = new Float64Array(width);
    for (let first = 0; first < width; first += headWidth) {
      const scores = k.map((key, j) => {
        let dot = 0;
        for (let d = first; d < first + headWidth; d++) dot += query[d] * key[d];
        return dot / Math.sqrt(headWidth) + (bias?.[j] ?? 0);
      });
      const top = Math.max(...scores), exps = scores.map((score) => Math.exp(score - top));
      const total = exps.reduce((a, b) => a + b);
      v.forEach((value, j) => {
        for (let d = first; d < first + headWidth; d++) out[d] += exps[j] / total * value[d];
      });
    }
    return out;
  });
}

function block(weights: Weights, name: string, x: Rows, shared: Float64Array, caption: Rows, bias: number[], how: {
  heads: number;
  perturbed: boolean;
}): Rows {
  const { heads, perturbed } = how;
  const width = x[0].length;
  const table = rowsOf(weights.get(`${name}.scale_shift_table`)!, width);
  const [shift, scale, gate, shiftMlp, scaleMlp, gateMlp] = sum(rowsOf(shared, width), table);
  const part = (attention: string, what: string, of: Rows) => linear(weights, `${name}.${attention}.${what}`, of);
  const h = modulatedNorm(x, shift, scale);
  const values = part("attn1", "to_v", h);
  const mixed = perturbed ? values : attend(part("attn1", "to_q", h), part("attn1", "to_k", h), values, heads);
  x = sum(x, part("attn1", "to_out.0", mixed), (j) => gate[j]);
  const keys = part("attn2", "to_k", caption), captionValues = part("attn2", "to_v", caption);
  x = sum(x, part("attn2", "to_out.0", attend(part("attn2", "to_q", x), keys, captionValues, heads, bias)));
  const inner = linear(weights, `${name}.ff.net.0.proj`, modulatedNorm(x, shiftMlp, scaleMlp)).map((row) =>
    row.map(gelu)
  );
  return sum(x, linear(weights, `${name}.ff.net.2`, inner), (j) => gateMlp[j]);
}

function embed(
  weights: Weights,
  config: TransformerConfig,
  latents: ArrayLike<number>,
  height: number,
  width: number,
): Rows {
  const { patchSize: p, inChannels, sampleSize, interpolationScale } = config;
  const h = height / p, w = width / p, channels = weights.get("pos_embed.proj.bias")!.length;
  const patches = Array.from(
    { length: h * w },
    (_, token) =>
      Float64Array.from({ length: inChannels * p * p }, (_, k) => {
        const c = Math.floor(k / (p * p)), y = Math.floor(token / w) * p + Math.floor(k / p) % p;
        return latents[(c * height + y) * width + token % w * p + k % p];
      }),
  );
  const positions = positionEmbedding(h, w, channels, Math.floor(sampleSize / p), interpolationScale);
  return sum(linear(weights, "pos_embed.proj", patches), rowsOf(positions, channels));
}

/** Predicts for one sample: [outChannels, h, w]. */
export function naiveTransformer(weights: Weights, config: TransformerConfig, sample: NaiveSample): Float64Array {
  const { height, width, control } = sample;
  const { patchSize: p, outChannels, numAttentionHeads: heads } = config;
  let x = embed(weights, config, sample.latents, height, width);
  const C = x[0].length;
  const angles = Float64Array.from({ length: 128 }, (_, i) => sample.timestep * 10000 ** (-i / 128));
  const sinusoid = Float64Array.of(...angles.map(Math.cos), ...angles.map(Math.sin));
  const emb = "adaln_single.emb.timestep_embedder";
  const inner = linear(weights, `${emb}.linear_1`, [sinusoid]).map((row) => row.map(silu));
  const [time] = linear(weights, `${emb}.linear_2`, inner);
  const [shared] = linear(weights, "adaln_single.linear", [time.map(silu)]);
  const captionInner = linear(weights, "caption_projection.linear_1", rowsOf(sample.caption, config.captionChannels));
  const caption = linear(weights, "caption_projection.linear_2", captionInner.map((row) => row.map(gelu)));
  const bias = Array.from(sample.mask, (keep) => (1 - keep) * -10000);
  const run = (from: Weights, name: string, tokens: Rows, perturbed = false) =>
    block(from, name, tokens, shared, caption, bias, { heads, perturbed });
  let c = control && embed(weights, config, control.condition, height, width);
  for (let i = 0; i < config.numLayers; i++) {
    if (control && c && i >= 1 && i <= control.copies) {
      const name = `controlnet_blocks.${i - 1}`;
      if (i === 1) c = sum(x, linear(control.weights, `${name}.before_proj`, c));
      c = run(control.weights, `${name}.transformer_block`, c);
      x = sum(x, linear(control.weights, `${name}.after_proj`, c), () => control.scale);
    }
    x = run(weights, `transformer_blocks.${i}`, x, sample.perturbed?.has(i));
  }
  const [shift, scale] = rowsOf(weights.get("scale_shift_table")!, C).map((row) => row.map((v, j) => v + time[j]));
  const patches = linear(weights, "proj_out", modulatedNorm(x, shift, scale));
  const output = new Float64Array(outChannels * height * width);
  patches.forEach((patch, token) =>
    patch.forEach((value, k) => {
      const channel = k % outChannels, dx = Math.floor(k / outChannels) % p, dy = Math.floor(k / outChannels / p);
      const across = width / p;
      output[(channel * height + Math.floor(token / across) * p + dy) * width + token % across * p + dx] = value;
    })
  );
  return output;
}
