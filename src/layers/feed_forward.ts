// The feed-forward networks: GELU between two linear layers, and T5's form with a gate.

import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Linear, type LinearOptions } from "./linear.ts";
import type { ParameterSet } from "./parameters.ts";

/** Two linear layers around GELU (tanh). */
export class FeedForward {
  readonly #expand: Linear;
  readonly #contract: Linear;

  /** @param names The checkpoint's prefixes of the two linear layers. */
  constructor(
    parameters: ParameterSet,
    names: readonly [string, string],
    width: number,
    innerWidth: number,
    outWidth = width,
  ) {
    this.#expand = new Linear(parameters, names[0], width, innerWidth);
    this.#contract = new Linear(parameters, names[1], innerWidth, outWidth);
  }

  /** Whether `forward` takes x as halves for so many rows. */
  takesHalves(device: Device, rows: number): boolean {
    return this.#expand.takesHalves(device, rows);
  }

  /** [.., C] -> [.., outWidth]; `out` is what is fused behind the second layer. */
  forward(rec: Recorder, x: Tensor, out: LinearOptions = {}): Tensor {
    return rec.scoped(() => {
      const halves = this.#contract.takesHalves(rec.device, x.size / x.dim(-1), out);
      const inner = this.#expand.forward(rec, x, { activation: "gelu-tanh", halves });
      return this.#contract.forward(rec, inner, out);
    });
  }
}

/** T5's feed-forward: GELU of one linear layer times another, then a third; no biases. */
export class GatedFeedForward {
  readonly #gate: Linear;
  readonly #linear: Linear;
  readonly #contract: Linear;

  /** @param name The checkpoint's prefix: `encoder.block.0.layer.1.DenseReluDense`. */
  constructor(parameters: ParameterSet, name: string, width: number, innerWidth: number) {
    const options = { bias: false, precise: true }; // its many blocks add up what sums of halves would lose
    this.#gate = new Linear(parameters, `${name}.wi_0`, width, innerWidth, options);
    this.#linear = new Linear(parameters, `${name}.wi_1`, width, innerWidth, options);
    this.#contract = new Linear(parameters, `${name}.wo`, innerWidth, width, options);
  }

  /** Whether `forward` takes x as halves for so many rows. */
  takesHalves(device: Device, rows: number): boolean {
    return this.#gate.takesHalves(device, rows) && this.#linear.takesHalves(device, rows);
  }

  /** [.., C] -> [.., C]; `out` is what is fused behind the last layer. */
  forward(rec: Recorder, x: Tensor, out: LinearOptions = {}): Tensor {
    return rec.scoped(() => {
      const multiply = this.#linear.forward(rec, x);
      const inner = this.#gate.forward(rec, x, { activation: "gelu-tanh", multiply });
      multiply.dispose();
      return this.#contract.forward(rec, inner, out);
    });
  }
}
