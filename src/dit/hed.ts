// Holistically-nested edge detection (arXiv 1504.06375): the edges that PixArt-α's ControlNets were trained on. In: pixels [1, H, W, 3] in
// 0..255, less the network's mean. Out: the sum of five maps of edges [1, H, W, 1], one for each scale.

import { WeightsError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { readFloats, type WeightSource } from "../io/weights.ts";
import { Conv2d } from "../layers/conv2d.ts";
import { ParameterSet } from "../layers/parameters.ts";
import { ResidentModel, type StartOptions } from "../layers/resident_model.ts";
import { add } from "../ops/add.ts";
import { reluPool } from "../ops/relu_pool.ts";
import { resizeAndCrop } from "../ops/resize_and_crop.ts";
import type { FloatDType } from "../ops/weight_kernels.ts";

/** How many scales there are; each sees half of what the one before sees. */
export const HED_SCALES = 5;
const COLOURS = 3;

interface Scale {
  convs: readonly Conv2d[];
  projection: Conv2d;
}

/** The detector's network, by the names of `ControlNetHED.pth`. */
export class HEDNetwork extends ResidentModel {
  protected readonly parameters: ParameterSet;
  protected override readonly optionalNames = ["norm"];
  readonly #scales: readonly Scale[];

  private constructor(
    readonly device: Device,
    source: WeightSource,
    /** What is taken from each colour. */
    readonly mean: readonly number[],
    dtype: FloatDType,
    protected readonly reopen: (() => Promise<WeightSource>) | undefined,
  ) {
    super();
    const parameters = this.parameters = new ParameterSet(device, "HEDNetwork", dtype);
    let channels = COLOURS;
    this.#scales = Array.from({ length: HED_SCALES }, (_, scale) => {
      const convs: Conv2d[] = [];
      for (let i = 0;; i++) {
        const name = `block${scale + 1}.convs.${i}`;
        // A scale has one layer at least, so that a file without any is told as that.
        if (i > 0 && !source.has(`${name}.weight`)) break;
        const width = source.has(`${name}.weight`) ? source.info(`${name}.weight`).shape[0] : channels;
        convs.push(new Conv2d(parameters, name, channels, width, { kernel: 3 }));
        channels = width;
      }
      const projection = new Conv2d(parameters, `block${scale + 1}.projection`, channels, 1, { kernel: 1 });
      return { convs, projection };
    });
  }

  /**
   * Builds the network, as wide and as deep as the checkpoint is, and loads its weights.
   *
   * @throws {WeightsError} when the checkpoint is none of this network.
   */
  static async fromWeights(
    device: Device,
    source: WeightSource,
    { dtype = "f16", reopen, ...start }: StartOptions & {
      dtype?: FloatDType;
      reopen?: () => Promise<WeightSource>;
    } = {},
  ): Promise<HEDNetwork> {
    const mean = source.has("norm") ? await readFloats(source, "norm") : [];
    if (mean.length !== COLOURS) {
      throw new WeightsError(
        `Cannot load ${source.name} as an edge detector as its norm must have ${COLOURS} numbers: ${mean.length}`,
      );
    }
    const network = new HEDNetwork(device, source, [...mean], dtype, reopen);
    await network.start(source, start);
    return network;
  }

  /**
   * @param x [1, H, W, 3], which is freed.
   * @returns [1, H, W, 1] in the recorder's scope.
   * @throws {ShapeError} when a side is below 16.
   */
  forward(rec: Recorder, x: Tensor): Tensor {
    const [, height, width] = x.shape;
    const whole = { resizedHeight: height, resizedWidth: width, top: 0, left: 0, height, width };
    return rec.scoped(() => {
      const maps = this.#scales.map(({ convs, projection }, scale) => {
        if (scale > 0) x = rec.replace(x, (x) => reluPool(rec, x, 2));
        for (const conv of convs) {
          x = rec.replace(x, (x) => conv.forward(rec, x));
          x = rec.replace(x, (x) => reluPool(rec, x, 1));
        }
        return rec.scoped(() => resizeAndCrop(rec, projection.forward(rec, x), whole));
      });
      return maps.reduce((sum, map) => add(rec, sum, map));
    });
  }
}
