// GroupNorm with its learned weight and bias, and the SiLU that follows it wherever a convolution does.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { groupNorm } from "../ops/group_norm.ts";
import type { ParameterSet, Vector } from "./parameters.ts";

/** A group norm over channels-last images. */
export class GroupNorm {
  readonly #weight: Vector;
  readonly #bias: Vector;

  /** @param name The checkpoint's prefix: `decoder.conv_norm_out`. */
  constructor(
    parameters: ParameterSet,
    name: string,
    channels: number,
    private readonly options: { groups: number; eps: number; silu: boolean },
  ) {
    this.#weight = parameters.vector(`${name}.weight`, [channels]);
    this.#bias = parameters.vector(`${name}.bias`, [channels]);
  }

  /** [B, H, W, C] -> [B, H, W, C]; where `halves` allows it, [B * H * W + 1, C] f16 with zeros in the last pixel. */
  forward(rec: Recorder, x: Tensor, halves = false): Tensor {
    return groupNorm(rec, x, { ...this.options, weight: this.#weight.tensor, bias: this.#bias.tensor, halves });
  }
}
