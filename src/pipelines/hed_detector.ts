// Edges of pictures as the ControlNets of PixArt-α know them. In: a picture. Out: one of the same size, light where there is an edge.

import type { Device } from "../gpu/device.ts";
import { read } from "../gpu/readback.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { OpenOptions } from "../io/byte_range.ts";
import { Image } from "../io/image.ts";
import { openWeightsFile } from "../io/open_weights_file.ts";
import { resizeImage } from "../io/resize_image.ts";
import { HED_SCALES, HEDNetwork } from "../dit/hed.ts";
import type { StartOptions } from "../layers/resident_model.ts";
import type { FloatDType } from "../ops/weight_kernels.ts";
import { findModel } from "./presets.ts";

const RELEASED = "alpha-controlnet-hed";
/** Pictures of more pixels are looked at in smaller size, as the ControlNets were trained on at most so many. */
const MOST_PIXELS = 1024 * 1024;
const LEAST_SIDE = 1 << (HED_SCALES - 1);

/** How a detector is loaded. */
export interface HEDLoadOptions extends StartOptions, OpenOptions {
  device: Device;
  dtype?: FloatDType;
}

/** Finds edges by a network; `edgeImage` does it without. */
export class HEDdetector implements Disposable {
  private constructor(readonly network: HEDNetwork) {}

  /**
   * Loads a detector.
   *
   * @param model A path or URL of `ControlNetHED.pth` or the same in another format, or a preset.
   * @throws {WeightsError} when the file is none, or broken.
   * @example
   * ```ts ignore
   * using hed = await HEDdetector.fromPretrained("ControlNetHED.pth", { device: pipe.device });
   * const controlImage = await hed.detect(await loadImage("house.jpg"));
   * ```
   */
  static async fromPretrained(
    model: string = RELEASED,
    { device, headers, signal, ...options }: HEDLoadOptions,
  ): Promise<HEDdetector> {
    const file = await findModel(model, { signal });
    const reopen = () => openWeightsFile(file, { headers });
    using source = await openWeightsFile(file, { headers, signal });
    return new HEDdetector(await HEDNetwork.fromWeights(device, source, { ...options, signal, reopen }));
  }

  /**
   * Draws the edges of a picture.
   *
   * @throws The signal's reason when it was aborted.
   */
  async detect(image: Image, { signal }: { signal?: AbortSignal } = {}): Promise<Image> {
    const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (image.width * image.height)));
    const fitting = (side: number) => Math.max(LEAST_SIDE, Math.floor(side * shrink));
    const width = fitting(image.width), height = fitting(image.height);
    const { pixels } = resizeImage(image, width, height);
    const { device, mean } = this.network;
    const numbers = Float32Array.from(pixels, (value, i) => value - mean[i % mean.length]);
    await using _held = await this.network.use({ signal });
    const rec = new Recorder(device);
    using _scope = rec.scope();
    const sum = this.network.forward(rec, rec.upload(numbers, [1, height, width, mean.length]));
    rec.submit();
    const maps = await read(device, sum) as Float32Array;
    const edges = Uint8Array.from(maps, (value) => Math.round(255 / (1 + Math.exp(-value / HED_SCALES))));
    const grey = new Uint8Array(pixels.length).map((_, i) => edges[Math.floor(i / mean.length)]);
    return resizeImage(new Image({ width, height, pixels: grey }), image.width, image.height);
  }

  /** Frees its weights. */
  dispose(): void {
    this.network.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
