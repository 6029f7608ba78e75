// PixArt-Σ's pipeline: 300 tokens, SDXL's VAE, sizes from 256 pixels to 2K.

import { binTableFor } from "./aspect_ratio_bins.ts";
import type { PipelineLoadOptions } from "./components.ts";
import type { PipelineTraits } from "./picture_call.ts";
import { TextToImagePipeline } from "./text_to_image.ts";

/**
 * Text to image with PixArt-Σ.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, PixArtSigmaPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL);
 * const { images } = await pipe.generate("a red apple on a blue background", { seed: 0, numInferenceSteps: 2 });
 * console.assert(images[0].width === 64);
 * ```
 */
export class PixArtSigmaPipeline extends TextToImagePipeline {
  protected readonly traits: PipelineTraits = { maxSequenceLength: 300, bins: binTableFor };

  /**
   * Loads a pipeline in diffusers' layout.
   *
   * @param idOrFolder A path or URL with `model_index.json`, a preset such as `sigma-1024`, or `org/name` on the hub.
   * @throws {ConfigError} when the folder holds another kind of model.
   * @throws {WeightsError} when a file is missing or broken.
   */
  static async fromPretrained(idOrFolder: string, options: PipelineLoadOptions = {}): Promise<PixArtSigmaPipeline> {
    return await PixArtSigmaPipeline.load(idOrFolder, options, (components) => new PixArtSigmaPipeline(components));
  }
}
