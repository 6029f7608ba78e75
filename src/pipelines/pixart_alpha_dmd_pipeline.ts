// PixArt-α distilled by distribution matching, DMD (arXiv 2311.18828): a picture in one step.

import { DDPMScheduler } from "../schedulers/ddpm.ts";
import type { PipelineComponents, PipelineLoadOptions } from "./components.ts";
import { DMD_DEFAULTS, DMD_SCHEDULER } from "./distilled_defaults.ts";
import type { PipelineTraits } from "./picture_call.ts";
import { ALPHA_TRAITS, PixArtAlphaPipeline } from "./pixart_alpha_pipeline.ts";

/**
 * Text to image in one step, with a checkpoint that was distilled for it: the model is asked at time 400, without guidance, and what it
 * takes for the clean sample is the picture.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, PixArtAlphaDMDPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtAlphaDMDPipeline.fromPretrained(DEFAULT_MODEL); // or alpha-512-dmd
 * const { images } = await pipe.generate("a red apple on a blue background", { seed: 0 });
 * console.assert(images[0].metadata.timesteps === "400");
 * ```
 */
export class PixArtAlphaDMDPipeline extends PixArtAlphaPipeline {
  protected override readonly traits: PipelineTraits = { ...ALPHA_TRAITS, defaults: DMD_DEFAULTS };

  /** @param components Its parts; of the scheduler it takes the noise schedule. */
  constructor(components: PipelineComponents) {
    const scheduler = DDPMScheduler.fromConfig({ ...components.scheduler.config, ...DMD_SCHEDULER });
    super({ ...components, scheduler });
  }

  /**
   * Loads a pipeline in diffusers' layout.
   *
   * @param idOrFolder A path or URL with `model_index.json`, a preset such as `alpha-512-dmd`, or `org/name` on the hub.
   * @throws {ConfigError} when the folder holds another kind of model.
   * @throws {WeightsError} when a file is missing or broken.
   */
  static override async fromPretrained(
    idOrFolder: string,
    options: PipelineLoadOptions = {},
  ): Promise<PixArtAlphaDMDPipeline> {
    return await PixArtAlphaDMDPipeline.load(
      idOrFolder,
      options,
      (components) => new PixArtAlphaDMDPipeline(components),
    );
  }
}
