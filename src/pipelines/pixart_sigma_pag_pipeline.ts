// PixArt-Σ with perturbed-attention guidance, as diffusers' pipeline of this name has it.

import type { PipelineLoadOptions } from "./components.ts";
import type { GenerateOptions, GenerateResult } from "./generate_options.ts";
import type { PagOptions } from "./pag.ts";
import { PixArtSigmaPipeline } from "./pixart_sigma_pipeline.ts";

const DEFAULT_SCALE = 3;

/**
 * Text to image with PixArt-Σ, away from what the model paints when some of its layers do not attend. Every other pipeline does the
 * same when it is given a `pagScale`.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, PixArtSigmaPAGPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtSigmaPAGPipeline.fromPretrained(DEFAULT_MODEL, { pagAppliedLayers: "blocks.(2|3)" });
 * const { images } = await pipe.generate("a red apple on a blue background", { seed: 0, numInferenceSteps: 2 });
 * console.assert(images[0].width === 64);
 * ```
 */
export class PixArtSigmaPAGPipeline extends PixArtSigmaPipeline {
  /** The layers that are perturbed unless a call says otherwise; the second block when not given. */
  pagAppliedLayers: PagOptions["pagAppliedLayers"];

  /**
   * Loads a pipeline in diffusers' layout.
   *
   * @param idOrFolder A path or URL with `model_index.json`, a preset such as `sigma-1024`, or `org/name` on the hub.
   * @throws {ConfigError} when the folder holds another kind of model.
   * @throws {WeightsError} when a file is missing or broken.
   */
  static override async fromPretrained(
    idOrFolder: string,
    { pagAppliedLayers, ...options }: PipelineLoadOptions & Pick<PagOptions, "pagAppliedLayers"> = {},
  ): Promise<PixArtSigmaPAGPipeline> {
    return await PixArtSigmaPAGPipeline.load(idOrFolder, options, (components) => {
      const pipeline = new PixArtSigmaPAGPipeline(components);
      pipeline.pagAppliedLayers = pagAppliedLayers;
      return pipeline;
    });
  }

  /** Makes pictures from a prompt; see `PixArtSigmaPipeline.generate`. */
  override generate(
    prompt: string | readonly string[] | undefined,
    { pagScale = DEFAULT_SCALE, pagAppliedLayers = this.pagAppliedLayers, ...options }: GenerateOptions = {},
  ): Promise<GenerateResult> {
    return super.generate(prompt, { ...options, pagScale, pagAppliedLayers });
  }
}
