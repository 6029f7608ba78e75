// Conv2d: a 3x3 or 1x1 convolution over images in channels-last order.

import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { conv2d, type Conv2dOptions, type ConvGeometry, convTakesHalves, type Padding } from "../ops/conv2d.ts";
import type { Matrix, ParameterSet, Vector } from "./parameters.ts";

/** A convolution's geometry. */
export interface ConvShape {
  kernel: 1 | 3;
  stride?: 1 | 2;
  padding?: Padding;
}

const NO_PADDING: Padding = { top: 0, left: 0, bottom: 0, right: 0 };
const SAME_PADDING: Padding = { top: 1, left: 1, bottom: 1, right: 1 };

/** A convolution with bias. */
export class Conv2d {
  readonly #weight: Matrix;
  readonly #bias: Vector;
  readonly #geometry: ConvGeometry;

  /**
   * @param name The checkpoint's prefix: `decoder.conv_in`.
   * @param shape Padding keeps the size when it is not given.
   */
  constructor(
    parameters: ParameterSet,
    name: string,
    readonly inChannels: number,
    readonly outChannels: number,
    { kernel, stride = 1, padding = kernel === 3 ? SAME_PADDING : NO_PADDING }: ConvShape,
  ) {
    this.#geometry = { kernel, stride, padding, outChannels };
    this.#weight = parameters.matrix(`${name}.weight`, {
      outFeatures: outChannels,
      inFeatures: inChannels,
      taps: kernel * kernel,
      shape: [outChannels, inChannels, kernel, kernel],
    });
    this.#bias = parameters.vector(`${name}.bias`, [outChannels]);
  }

  /** Whether `forward` takes an image [B, H, W, inChannels] as halves. */
  takesHalves(device: Device, image: readonly number[]): boolean {
    return convTakesHalves(device, image, this.#weight.tensor, this.#geometry);
  }

  /**
   * Applies the convolution.
   *
   * @param x [B, H, W, inChannels] f32; or, where `takesHalves` says so, halves of `image` as a group norm makes them.
   * @param options `addTo` is a residual that the result is added to, in place; `upsample` doubles the input on the way in.
   * @returns [B, H', W', outChannels] f32.
   */
  forward(rec: Recorder, x: Tensor, options: Pick<Conv2dOptions, "addTo" | "upsample" | "image"> = {}): Tensor {
    return conv2d(rec, x, this.#weight.tensor, { ...this.#geometry, bias: this.#bias.tensor, ...options });
  }
}
