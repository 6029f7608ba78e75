// Self-attention with what PixArt-Σ can add to it: normalised queries and keys, and keys and values of fewer tokens
// (the paper's KV token compression; `AttentionKVCompress` of the original, REFERENCE K01-K06).

import { ShapeError } from "../errors.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Linear, type LinearOptions } from "../layers/linear.ts";
import type { ParameterSet, Vector } from "../layers/parameters.ts";
import { attendParts, type AttentionPart } from "../layers/attention_parts.ts";
import { perturbedAttention } from "../layers/perturbed_attention.ts";
import { attention, attentionOver } from "../ops/attention.ts";
import { downsampleTokens } from "../ops/downsample_tokens.ts";
import { layerNorm } from "../ops/layer_norm.ts";
import type { KvCompression } from "./config.ts";

const EPS = 1e-5; // PyTorch's default, unlike the blocks' 1e-6

/** The grid of the image tokens. */
export interface Grid {
  height: number;
  width: number;
}

/** The extent of the layer, and which of the additions it has. */
export interface CompressedAttentionShape {
  heads: number;
  headWidth: number;
  bias: boolean;
  qkNorm: boolean;
  /** How keys and values are thinned; not at all when it is not given. */
  compression?: Pick<KvCompression, "sampling" | "scaleFactor">;
}

class AffineNorm {
  readonly #weight: Vector;
  readonly #bias: Vector;

  constructor(parameters: ParameterSet, name: string, width: number) {
    this.#weight = parameters.vector(`${name}.weight`, [width]);
    this.#bias = parameters.vector(`${name}.bias`, [width]);
  }

  forward(rec: Recorder, x: Tensor): Tensor {
    return layerNorm(rec, x, { eps: EPS, weight: this.#weight.tensor, bias: this.#bias.tensor });
  }
}

/** Self-attention of image tokens with normalised or thinned keys. */
export class CompressedSelfAttention {
  readonly #query: Linear;
  readonly #key: Linear;
  readonly #value: Linear;
  readonly #out: Linear;
  readonly #halves: boolean;
  readonly #queryNorm: AffineNorm | undefined;
  readonly #keyNorm: AffineNorm | undefined;
  readonly #reduction: { weight: Vector; bias: Vector; norm: AffineNorm } | undefined;

  /** @param name The checkpoint's prefix: `transformer_blocks.0.attn1`. */
  constructor(parameters: ParameterSet, name: string, private readonly shape: CompressedAttentionShape) {
    const { heads, headWidth, bias, qkNorm, compression } = shape;
    this.#halves = parameters.dtype !== "f32";
    const width = heads * headWidth;
    const linear = (part: string) => new Linear(parameters, `${name}.${part}`, width, width, { bias });
    this.#query = linear("to_q");
    this.#key = linear("to_k");
    this.#value = linear("to_v");
    this.#out = linear("to_out.0");
    if (qkNorm) {
      // Over the full width, before it is cut into heads.
      this.#queryNorm = new AffineNorm(parameters, `${name}.q_norm`, width);
      this.#keyNorm = new AffineNorm(parameters, `${name}.k_norm`, width);
    }
    if (compression?.sampling === "conv") {
      const { scaleFactor } = compression;
      this.#reduction = {
        weight: parameters.vector(`${name}.sr.weight`, [width, 1, scaleFactor, scaleFactor]),
        bias: parameters.vector(`${name}.sr.bias`, [width]),
        norm: new AffineNorm(parameters, `${name}.norm`, width),
      };
    }
  }

  /**
   * Attends in place, over tokens that may lie in parts; each part begins where the compression's stride and the grid's rows do.
   *
   * @param perturbed How many of the last samples keep their own values, those of all tokens.
   * @throws {ShapeError} when the grid cannot be thinned as the model wants it.
   */
  forward(rec: Recorder, parts: readonly AttentionPart[], grid: Grid, perturbed: number): void {
    this.#checkGrid(grid);
    attendParts(rec, parts, perturbed, {
      whole: (x, perturbed, out) => this.#attend(rec, x, grid, perturbed, out),
      inParts: (parts, perturbed) => this.#attendInParts(rec, parts, grid.width, perturbed),
    });
  }

  /** x [B, N, C], N the tokens of the grid. */
  #attend(rec: Recorder, x: Tensor, grid: Grid, perturbed: number, out: LinearOptions): Tensor {
    const { heads, headWidth } = this.shape;
    return rec.scoped(() => {
      const [batch, queries] = x.shape;
      const q = this.#queries(rec, x);
      const k = this.#keys(rec, x, grid);
      const values = this.#value.forward(rec, x);
      const thin = (values: Tensor) => this.#thin(rec, values, grid);
      const v = perturbed > 0 ? thin(values) : rec.replace(values, thin);
      const stride = heads * headWidth;
      const [queryHeads, keyHeads, valueHeads] = [q, k, v].map((tensor) => ({ tensor, stride, offset: 0 }));
      const scale = headWidth ** -0.5;
      const options = { heads, headWidth, queries, keys: k.dim(1), scale, halves: this.#halves };
      const mixed = perturbedAttention(
        rec,
        { tensor: values, stride, offset: 0 },
        { batch, tokens: queries, width: stride, perturbed },
        (batch) => attention(rec, queryHeads, keyHeads, valueHeads, { ...options, batch }),
      );
      return this.#out.forward(rec, mixed, out);
    });
  }

  /** One sample: the queries of each part over the keys of all. */
  #attendInParts(rec: Recorder, parts: readonly AttentionPart[], gridWidth: number, perturbed: boolean): void {
    const { heads, headWidth, compression } = this.shape;
    const width = heads * headWidth;
    const whole = (tensor: Tensor) => ({ tensor, stride: width, offset: 0 });
    const made = (part: AttentionPart, linear: (x: Tensor) => Tensor) => rec.replace(part.x(), linear);
    const thinned = perturbed ? [] : parts.flatMap((part) => {
      const x = part.x();
      const grid = { height: x.dim(1) / gridWidth, width: gridWidth };
      // A last part lower than the compression's stride gives no key, as in the picture taken whole.
      if (compression && grid.height < compression.scaleFactor) return [];
      const k = this.#keys(rec, x, grid);
      const v = rec.replace(this.#value.forward(rec, x), (values) => this.#thin(rec, values, grid));
      x.dispose();
      return [{ k: whole(k), v: whole(v), keys: k.dim(1) }];
    });
    for (const part of parts) {
      using _part = rec.scope();
      const mixed = perturbed ? made(part, (x) => this.#value.forward(rec, x)) : rec.scoped(() => {
        const q = made(part, (x) => this.#queries(rec, x));
        const extent = { heads, headWidth, queries: q.dim(1), scale: headWidth ** -0.5, halves: this.#halves };
        return attentionOver(rec, whole(q), thinned, extent);
      });
      this.#out.forward(rec, mixed, part.out);
      rec.flush(); // since all of these parts together would take long
    }
  }

  #queries(rec: Recorder, x: Tensor): Tensor {
    return rec.scoped(() => this.#normed(rec, this.#queryNorm, this.#query.forward(rec, x)));
  }

  #keys(rec: Recorder, x: Tensor, grid: Grid): Tensor {
    return rec.scoped(() => this.#thin(rec, this.#normed(rec, this.#keyNorm, this.#key.forward(rec, x)), grid));
  }

  #normed(rec: Recorder, norm: AffineNorm | undefined, x: Tensor): Tensor {
    return norm ? norm.forward(rec, x) : x;
  }

  #thin(rec: Recorder, x: Tensor, { height, width }: Grid): Tensor {
    const { compression } = this.shape;
    if (!compression || compression.scaleFactor === 1) return x;
    const { sampling, scaleFactor: factor } = compression;
    // "ave" is nearest-neighbour interpolation in the original: it picks, like "uniform".
    const along = sampling === "uniform_every" ? "sequence" : "grid";
    const reduction = this.#reduction;
    const convolution = reduction && { weight: reduction.weight.tensor, bias: reduction.bias.tensor };
    const thinned = downsampleTokens(rec, x, { height, width, factor, along, convolution });
    return reduction ? reduction.norm.forward(rec, thinned) : thinned;
  }

  #checkGrid({ height, width }: Grid): void {
    const { sampling, scaleFactor: factor = 1 } = this.shape.compression ?? {};
    const even = sampling === "uniform" ? [height, width] : sampling === "uniform_every" ? [height * width] : [];
    if (even.some((extent) => extent % factor !== 0)) {
      throw new ShapeError(
        `Cannot compress keys by ${sampling} as ${factor} must divide the grid: ${height}x${width} tokens`,
      );
    }
  }
}
