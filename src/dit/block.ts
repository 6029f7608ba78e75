// One transformer block of PixArt: adaLN-single, self-attention, cross-attention to the caption, feed-forward.

import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { CrossAttention, SelfAttention } from "../layers/attention.ts";
import type { AttentionPart } from "../layers/attention_parts.ts";
import { FeedForward } from "../layers/feed_forward.ts";
import type { ParameterSet, Vector } from "../layers/parameters.ts";
import { layerNorm, type TableRows } from "../ops/layer_norm.ts";
import { CompressedSelfAttention, type Grid } from "./compressed_attention.ts";
import type { TransformerConfig } from "./config.ts";
import { modulationOf, type TokenPart } from "./token_parts.ts";

/** A caption as a block sees it: keys and values made once a picture, and what masks its padding. */
export interface BlockCaption {
  /** [B, L, 2 C] */
  keysValues: Tensor;
  /** [B, L], added to the scores. */
  mask?: Tensor;
}

/** A block. */
export class TransformerBlock {
  readonly #table: Vector;
  readonly #selfAttention: (rec: Recorder, parts: readonly AttentionPart[], grid: Grid, perturbed: number) => void;
  /** Whether the self-attention takes so many tokens as halves. */
  readonly #attendsHalves: (device: Device, rows: number) => boolean;
  readonly #crossAttention: CrossAttention;
  readonly #feedForward: FeedForward;

  /**
   * @param index Its place among the blocks, from 0.
   * @param name The checkpoint's prefix.
   */
  constructor(
    parameters: ParameterSet,
    index: number,
    private readonly config: TransformerConfig,
    name = `transformer_blocks.${index}`,
  ) {
    const { numAttentionHeads: heads, attentionHeadDim: headWidth, attentionBias: bias, qkNorm } = config;
    const width = heads * headWidth;
    // diffusers' attention_bias is about queries, keys and values only.
    const shape = { width, heads, headWidth, bias, outBias: true };
    this.#table = parameters.vector(`${name}.scale_shift_table`, [6, width]);
    const compression = config.kvCompression?.layers.includes(index) ? config.kvCompression : undefined;
    if (qkNorm || compression) {
      const attention = new CompressedSelfAttention(parameters, `${name}.attn1`, { ...shape, qkNorm, compression });
      this.#selfAttention = (rec, parts, grid, perturbed) => attention.forward(rec, parts, grid, perturbed);
      this.#attendsHalves = () => false;
    } else {
      const attention = new SelfAttention(parameters, `${name}.attn1`, shape);
      this.#selfAttention = (rec, parts, _grid, perturbed) => attention.forwardParts(rec, parts, perturbed);
      this.#attendsHalves = (device, rows) => attention.takesHalves(device, rows);
    }
    this.#crossAttention = new CrossAttention(parameters, `${name}.attn2`, shape, width);
    this.#feedForward = new FeedForward(parameters, [`${name}.ff.net.0.proj`, `${name}.ff.net.2`], width, 4 * width);
  }

  /** [6, C] what this block adds to the modulation that all share. */
  get table(): Tensor {
    return this.#table.tensor;
  }

  /** Keys and values of the caption [B, L, C] for this block. */
  keysValues(rec: Recorder, caption: Tensor): Tensor {
    return this.#crossAttention.keysValues(rec, caption);
  }

  /**
   * Changes tokens in place.
   *
   * @param tokens All of the batch, in the parts that they lie in.
   * @param grid The tokens' grid, N = height * width.
   * @param rows Six modulation rows a sample: shift, scale and gate of the attention, then of the feed-forward.
   * @param perturbed How many of the last samples keep their own values in the self-attention.
   */
  forward(
    rec: Recorder,
    tokens: readonly TokenPart[],
    grid: Grid,
    rows: readonly TableRows[],
    caption: BlockCaption,
    perturbed = 0,
  ): void {
    const eps = this.config.normEps;
    const modulated = tokens.map((part) => ({ ...part, rows: modulationOf(part, rows) }));
    const attending = modulated.map(({ x, sample, rows: [shift, scale, gate] }) => {
      const halves = this.#attendsHalves(rec.device, x.dim(0) * x.dim(1));
      return { sample, x: () => layerNorm(rec, x, { eps, shift, scale, halves }), out: { addTo: x, gate } };
    });
    this.#selfAttention(rec, attending, grid, perturbed);
    for (const { x, sample, rows: [, , , shift, scale, gate] } of modulated) {
      using _scope = rec.scope();
      this.#crossAttention.forward(rec, x, caption.keysValues, caption.mask, { addTo: x }, sample); // no norm, no gate
      const halves = this.#feedForward.takesHalves(rec.device, x.dim(0) * x.dim(1));
      const m = layerNorm(rec, x, { eps, shift, scale, halves });
      this.#feedForward.forward(rec, m, { addTo: x, gate });
    }
  }
}
