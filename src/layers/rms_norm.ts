// RMSNorm with its learned weight: T5's layer norm.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rmsNorm } from "../ops/rms_norm.ts";
import type { ParameterSet, Vector } from "./parameters.ts";

/** An RMS norm over the last axis. */
export class RmsNorm {
  readonly #weight: Vector;

  /** @param name The checkpoint's prefix: `encoder.final_layer_norm`. */
  constructor(parameters: ParameterSet, name: string, width: number, private readonly eps: number) {
    this.#weight = parameters.vector(`${name}.weight`, [width]);
  }

  /** [.., C] -> [.., C]; f16 where `halves` allows it and the width does. */
  forward(rec: Recorder, x: Tensor, halves = false): Tensor {
    return rmsNorm(rec, x, this.#weight.tensor, this.eps, halves);
  }
}
