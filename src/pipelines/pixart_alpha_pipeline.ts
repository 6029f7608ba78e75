// PixArt-α's pipeline: 120 tokens, Stable Diffusion's VAE, sizes from 256 to 1024 pixels, size conditions at 1024.

import { binTableFor } from "./aspect_ratio_bins.ts";
import type { PipelineLoadOptions } from "./components.ts";
import type { PipelineTraits } from "./picture_call.ts";
import { TextToImagePipeline } from "./text_to_image.ts";

const LARGEST_SAMPLE = 128; // there is no 2K α: diffusers has no table for it

/** What is PixArt-α's own. */
export const ALPHA_TRAITS: PipelineTraits = {
  maxSequenceLength: 120,
  bins: (sampleSize) => sampleSize <= LARGEST_SAMPLE ? binTableFor(sampleSize) : undefined,
};

/**
 * Text to image with PixArt-α.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, PixArtAlphaPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtAlphaPipeline.fromPretrained(DEFAULT_MODEL); // or alpha-1024
 * const { images } = await pipe.generate("a red apple on a blue background", { seed: 0, numInferenceSteps: 2 });
 * console.assert(images[0].width === 64);
 * ```
 */
export class PixArtAlphaPipeline extends TextToImagePipeline {
  protected readonly traits: PipelineTraits = ALPHA_TRAITS;

  /**
   * Loads a pipeline in diffusers' layout.
   *
   * @param idOrFolder A path or URL with `model_index.json`, a preset such as `alpha-1024`, or `org/name` on the hub.
   * @throws {ConfigError} when the folder holds another kind of model.
   * @throws {WeightsError} when a file is missing or broken.
   */
  static async fromPretrained(idOrFolder: string, options: PipelineLoadOptions = {}): Promise<PixArtAlphaPipeline> {
    return await PixArtAlphaPipeline.load(idOrFolder, options, (components) => new PixArtAlphaPipeline(components));
  }
}
