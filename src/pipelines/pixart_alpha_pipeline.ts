// PixArt-α's pipeline: 120 tokens, Stable Diffusion's VAE, sizes from 256 to 1024 pixels, size conditions at 1024.

import { binTableFor } from "./aspect_ratio_bins.ts";
import { loadComponents, type PipelineLoadOptions } from "./components.ts";
import type { PipelineTraits } from "./picture_call.ts";
import { TextToImagePipeline } from "./text_to_image.ts";

const LARGEST_SAMPLE = 128; // there is no 2K α: diffusers has no table for it

/**
 * Text to image with PixArt-α.
 *
 * @example
 * ```ts ignore
 * import { PixArtAlphaPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtAlphaPipeline.fromPretrained("alpha-1024");
 * const { images } = await pipe.generate("A small cactus with a happy face in the Sahara desert.");
 * ```
 */
export class PixArtAlphaPipeline extends TextToImagePipeline {
  protected readonly traits: PipelineTraits = {
    maxSequenceLength: 120,
    bins: (sampleSize) => sampleSize <= LARGEST_SAMPLE ? binTableFor(sampleSize) : undefined,
  };

  /**
   * Loads a pipeline in diffusers' layout.
   *
   * @param idOrFolder A path or URL with `model_index.json`, a preset such as `sigma-1024`, or `org/name` on the hub.
   * @throws {ConfigError} when the folder holds another kind of model.
   * @throws {WeightsError} when a file is missing or broken.
   */
  static async fromPretrained(idOrFolder: string, options: PipelineLoadOptions = {}): Promise<PixArtAlphaPipeline> {
    const { components, owned } = await loadComponents(idOrFolder, options);
    return new PixArtAlphaPipeline(components).owning(owned, idOrFolder);
  }
}
