// PixArt-α as a latent consistency model (arXiv 2310.04378): a picture in four steps, without guidance.

import { LCMScheduler } from "../schedulers/lcm.ts";
import type { PipelineComponents, PipelineLoadOptions } from "./components.ts";
import { LCM_DEFAULTS } from "./distilled_defaults.ts";
import type { PipelineTraits } from "./picture_call.ts";
import { ALPHA_TRAITS, PixArtAlphaPipeline } from "./pixart_alpha_pipeline.ts";

/**
 * Text to image in a few steps, with a checkpoint that was distilled for it or with a LoRA. It samples as `LCMScheduler` does, with the
 * noise schedule of the checkpoint, in 4 steps and without guidance unless a call says otherwise. PixArt-Σ does the same when it is
 * given such a scheduler.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, PixArtAlphaLCMPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtAlphaLCMPipeline.fromPretrained(DEFAULT_MODEL);
 * const { images } = await pipe.generate("a red apple on a blue background", { seed: 0 });
 * console.assert(images[0].metadata.num_inference_steps === "4");
 * ```
 * @example
 * ```ts ignore
 * using pipe = await PixArtAlphaLCMPipeline.fromPretrained("alpha-1024");
 * await pipe.loadLora(await resolveModel("PixArt-alpha/PixArt-LCM-LoRA-XL-2-1024-MS"));
 * ```
 */
export class PixArtAlphaLCMPipeline extends PixArtAlphaPipeline {
  protected override readonly traits: PipelineTraits = { ...ALPHA_TRAITS, defaults: LCM_DEFAULTS };

  /** @param components Its parts; a scheduler of another class gives its noise schedule. */
  constructor(components: PipelineComponents) {
    const { scheduler } = components;
    super({
      ...components,
      scheduler: scheduler instanceof LCMScheduler ? scheduler : LCMScheduler.fromConfig(scheduler.config),
    });
  }

  /**
   * Loads a pipeline in diffusers' layout.
   *
   * @param idOrFolder A path or URL with `model_index.json`, a preset such as `alpha-1024-lcm`, or `org/name` on the hub.
   * @throws {ConfigError} when the folder holds another kind of model.
   * @throws {WeightsError} when a file is missing or broken.
   */
  static override async fromPretrained(
    idOrFolder: string,
    options: PipelineLoadOptions = {},
  ): Promise<PixArtAlphaLCMPipeline> {
    return await PixArtAlphaLCMPipeline.load(
      idOrFolder,
      options,
      (components) => new PixArtAlphaLCMPipeline(components),
    );
  }
}
