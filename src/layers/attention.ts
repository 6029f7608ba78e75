// Multi-head attention: queries, keys and values by one product, softmax(q k^T) v, and the way out.

import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { attention, attentionOver, type Heads } from "../ops/attention.ts";
import { attentionTakesHalves } from "../ops/attention_variants.ts";
import { attendParts, type AttentionPart } from "./attention_parts.ts";
import { Linear, type LinearOptions } from "./linear.ts";
import type { ParameterSet } from "./parameters.ts";
import { perturbedAttention } from "./perturbed_attention.ts";

/** The extent of an attention layer. */
export interface AttentionShape {
  /** Width of the tokens that go in and come out. */
  width: number;
  heads: number;
  headWidth: number;
  /** Whether the linear layers of queries, keys and values have biases. */
  bias: boolean;
  /** Whether the last linear layer has one; as the others when not given. */
  outBias?: boolean;
  /** Whether sums of halves are too coarse for the linear layers; see `MatmulOptions`. */
  precise?: boolean;
  /** What the scores are multiplied by; 1/sqrt(headWidth) when not given. */
  scale?: number;
}

/** Names of the four linear layers below a prefix; diffusers' by default. */
export interface AttentionNames {
  query: string;
  key: string;
  value: string;
  out: string;
}

const DIFFUSERS: AttentionNames = { query: "to_q", key: "to_k", value: "to_v", out: "to_out.0" };

/** What is added to the scores: [B, Nk] by key, and [H, N + Nk - 1] by distance. */
export interface ScoreBias {
  mask?: Tensor;
  relativeBias?: Tensor;
}

/** What differs from attention as it is trained. */
export interface SelfAttentionOptions extends ScoreBias {
  /** How many of the last samples keep their own values: perturbed-attention guidance. */
  perturbed?: number;
}

/** Tokens that attend to each other. */
export class SelfAttention {
  /** Queries, keys and values: by one product side by side, or by one each. */
  readonly #qkv: Linear[];
  readonly #out: Linear;
  readonly #halves: boolean;

  /** @param name The checkpoint's prefix: `transformer_blocks.0.attn1`. */
  constructor(
    parameters: ParameterSet,
    name: string,
    private readonly shape: AttentionShape,
    names: AttentionNames = DIFFUSERS,
  ) {
    const inner = shape.heads * shape.headWidth;
    const { bias, outBias = bias, precise } = shape;
    const prefixes = [names.query, names.key, names.value].map((part) => `${name}.${part}`);
    // A single wide head is fastest as plain products of dense matrices; many heads gain from one product.
    const groups = shape.heads === 1 ? prefixes.map((prefix) => [prefix]) : [prefixes];
    this.#qkv = groups.map((group) => new Linear(parameters, group, shape.width, inner, { bias, precise }));
    this.#out = new Linear(parameters, `${name}.${names.out}`, inner, shape.width, { bias: outBias, precise });
    this.#halves = parameters.dtype !== "f32";
  }

  /**
   * @param x [B, N, C] f32.
   * @param out What is fused behind the last linear layer.
   * @returns [B, N, C] f32.
   */
  forward(
    rec: Recorder,
    x: Tensor,
    { perturbed = 0, ...bias }: SelfAttentionOptions = {},
    out: LinearOptions = {},
  ): Tensor {
    return rec.scoped(() => {
      const { heads, headWidth, scale = headWidth ** -0.5 } = this.shape;
      const [batch, tokens] = x.shape;
      const inner = heads * headWidth;
      const extents = { heads, headWidth, queries: tokens, keys: tokens, scale, halves: this.#halves };
      // Perturbed samples keep their values as floats.
      const plain = perturbed === 0;
      const { q, k, v } = this.#project(rec, x, plain && attentionTakesHalves(rec.device, extents));
      const toHalves = plain && this.#out.takesHalves(rec.device, batch * tokens, out);
      const options = { ...extents, ...bias, toHalves };
      const mixed = perturbedAttention(
        rec,
        v,
        { batch, tokens, width: inner, perturbed },
        (batch) => attention(rec, q, k, v, { ...options, batch }),
      );
      return this.#out.forward(rec, mixed, out);
    });
  }

  /** Whether `forward` and `forwardParts` take x as halves for so many rows. */
  takesHalves(device: Device, rows: number): boolean {
    return this.#qkv.every((linear) => linear.takesHalves(device, rows));
  }

  /** Queries, keys and values of tokens. */
  #project(rec: Recorder, x: Tensor, halves = false): { q: Heads; k: Heads; v: Heads } {
    const inner = this.shape.heads * this.shape.headWidth;
    const made = this.#qkv.map((linear) => linear.forward(rec, x, { halves }));
    const [q, k, v] = made.length === 3
      ? made.map((tensor) => ({ tensor, stride: inner, offset: 0 }))
      : [0, 1, 2].map((part) => ({ tensor: made[0], stride: 3 * inner, offset: part * inner }));
    return { q, k, v };
  }

  /**
   * The same without mask or bias, in place, over tokens that may lie in parts.
   *
   * @param perturbed How many of the last samples keep their own values.
   */
  forwardParts(rec: Recorder, parts: readonly AttentionPart[], perturbed: number): void {
    attendParts(rec, parts, perturbed, {
      whole: (x, perturbed, out) => this.forward(rec, x, { perturbed }, out),
      inParts: (parts, perturbed) => this.#attendInParts(rec, parts, perturbed),
    });
  }

  #attendInParts(rec: Recorder, parts: readonly AttentionPart[], perturbed: boolean): void {
    const { heads, headWidth, scale = headWidth ** -0.5 } = this.shape;
    const made = parts.map((part) => {
      const x = part.x(), projected = this.#project(rec, x);
      x.dispose();
      return { ...projected, keys: x.dim(1) };
    });
    made.forEach(({ q, v, keys: queries }, i) => {
      using _part = rec.scope();
      const mixed = perturbedAttention(
        rec,
        v,
        { batch: 1, tokens: queries, width: heads * headWidth, perturbed: perturbed ? 1 : 0 },
        () => attentionOver(rec, q, made, { heads, headWidth, queries, scale, halves: this.#halves }),
      );
      this.#out.forward(rec, mixed, parts[i].out);
      rec.flush(); // since all of these parts together would take long
    });
  }
}

/** Tokens that attend to a context, whose keys and values are made once and used many times. */
export class CrossAttention {
  readonly #query: Linear;
  readonly #keyValue: Linear;
  readonly #out: Linear;
  readonly #halves: boolean;

  /**
   * @param name The checkpoint's prefix: `transformer_blocks.0.attn2`.
   * @param contextWidth Width of the context's tokens.
   */
  constructor(
    parameters: ParameterSet,
    name: string,
    private readonly shape: AttentionShape,
    contextWidth: number,
    names: AttentionNames = DIFFUSERS,
  ) {
    const inner = shape.heads * shape.headWidth;
    const { bias, outBias = bias } = shape;
    this.#query = new Linear(parameters, `${name}.${names.query}`, shape.width, inner, { bias });
    const prefixes = [names.key, names.value].map((part) => `${name}.${part}`);
    this.#keyValue = new Linear(parameters, prefixes, contextWidth, inner, { bias });
    this.#out = new Linear(parameters, `${name}.${names.out}`, inner, shape.width, { bias: outBias });
    this.#halves = parameters.dtype !== "f32";
  }

  /** Keys and values of a context: [B, L, contextWidth] -> [B, L, 2 H D], halves where attention takes them. */
  keysValues(rec: Recorder, context: Tensor): Tensor {
    const { headWidth } = this.shape;
    const halves = attentionTakesHalves(rec.device, { headWidth, halves: this.#halves });
    return this.#keyValue.forward(rec, context, { halves });
  }

  /**
   * @param x [B, N, C] f32.
   * @param keysValues [B', L, 2 H D] of `keysValues()`, of these samples and maybe others.
   * @param mask [B', L] added to the scores.
   * @param sample Which sample of the context is that of the first tokens.
   * @returns [B, N, C] f32.
   */
  forward(
    rec: Recorder,
    x: Tensor,
    keysValues: Tensor,
    mask?: Tensor,
    out: LinearOptions = {},
    sample = 0,
  ): Tensor {
    return rec.scoped(() => {
      const { heads, headWidth, scale = headWidth ** -0.5 } = this.shape;
      const [batch, queries] = x.shape;
      const inner = heads * headWidth, keys = keysValues.dim(1);
      const extents = { batch, heads, headWidth, queries, keys, scale, halves: this.#halves };
      const halves = attentionTakesHalves(rec.device, extents);
      const q = { tensor: this.#query.forward(rec, x, { halves }), stride: inner, offset: 0 };
      const k = { tensor: keysValues, stride: 2 * inner, offset: sample * keys * 2 * inner };
      const v = { ...k, offset: k.offset + inner };
      const toHalves = this.#out.takesHalves(rec.device, batch * queries, out);
      const options = { ...extents, mask, firstMasked: sample, toHalves };
      return this.#out.forward(rec, attention(rec, q, k, v, options), out);
    });
  }
}
