// A block of T5's encoder: attention with a bias by distance, then a gated feed-forward, each behind a norm and around a residual.
// In and out: [B, L, C] f32.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { SelfAttention } from "../layers/attention.ts";
import { GatedFeedForward } from "../layers/feed_forward.ts";
import type { ParameterSet } from "../layers/parameters.ts";
import { RmsNorm } from "../layers/rms_norm.ts";
import type { T5Config } from "./t5_config.ts";

/** One block. */
export class T5Block {
  readonly #attentionNorm: RmsNorm;
  readonly #attention: SelfAttention;
  readonly #feedForwardNorm: RmsNorm;
  readonly #feedForward: GatedFeedForward;

  /** @param name The checkpoint's prefix: `encoder.block.0`. */
  constructor(parameters: ParameterSet, name: string, config: T5Config) {
    const { dModel, dKv, dFf, numHeads, layerNormEpsilon } = config;
    this.#attentionNorm = new RmsNorm(parameters, `${name}.layer.0.layer_norm`, dModel, layerNormEpsilon);
    this.#attention = new SelfAttention(
      parameters,
      `${name}.layer.0.SelfAttention`,
      { width: dModel, heads: numHeads, headWidth: dKv, bias: false, precise: true, scale: 1 }, // T5 does not scale its scores
      { query: "q", key: "k", value: "v", out: "o" },
    );
    this.#feedForwardNorm = new RmsNorm(parameters, `${name}.layer.1.layer_norm`, dModel, layerNormEpsilon);
    this.#feedForward = new GatedFeedForward(parameters, `${name}.layer.1.DenseReluDense`, dModel, dFf);
  }

  /** @returns x itself, updated in place. */
  forward(rec: Recorder, x: Tensor, bias: { mask?: Tensor; relativeBias: Tensor }): Tensor {
    return rec.scoped(() => {
      const rows = x.size / x.dim(-1);
      const tokens = this.#attentionNorm.forward(rec, x, this.#attention.takesHalves(rec.device, rows));
      x = this.#attention.forward(rec, tokens, bias, { addTo: x });
      const normed = this.#feedForwardNorm.forward(rec, x, this.#feedForward.takesHalves(rec.device, rows));
      return this.#feedForward.forward(rec, normed, { addTo: x });
    });
  }
}
