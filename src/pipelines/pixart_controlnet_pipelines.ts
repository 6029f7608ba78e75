// PixArt-α and PixArt-Σ with a ControlNet, as diffusers' research project has it for α: what a picture shows, and where.

import type { PixArtControlNetAdapterModel } from "../dit/controlnet.ts";
import { UsageError } from "../errors.ts";
import type { PipelineLoadOptions } from "./components.ts";
import type { GenerateOptions, GenerateResult } from "./generate_options.ts";
import { PixArtAlphaPipeline } from "./pixart_alpha_pipeline.ts";
import { PixArtSigmaPipeline } from "./pixart_sigma_pipeline.ts";

/** How a pipeline with a ControlNet is loaded. */
export interface ControlnetLoadOptions extends PipelineLoadOptions {
  /** A ControlNet of the transformer, or a path, URL, preset or `org/name` to load it from. */
  controlnet: PixArtControlNetAdapterModel | string;
}

/** Options of `generate`, of which this pipeline needs one. */
export interface ControlnetOptions extends GenerateOptions {
  controlImage: NonNullable<GenerateOptions["controlImage"]>;
}

function checkCondition({ controlImage }: GenerateOptions): void {
  if (controlImage === undefined) {
    throw new UsageError("Cannot generate as the ControlNet must be shown something: there is no controlImage");
  }
}

/**
 * Text to image with PixArt-α, steered by a picture. Every other pipeline does the same when it has a `controlnet` and is given a
 * `controlImage`.
 *
 * @example
 * ```ts ignore
 * import { edgeImage, loadImage, PixArtAlphaControlnetPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtAlphaControlnetPipeline.fromPretrained("alpha-1024", { controlnet: "alpha-1024-controlnet" });
 * const controlImage = edgeImage(await loadImage("house.jpg"));
 * const { images } = await pipe.generate("a house of gingerbread", { controlImage, controlnetConditioningScale: 0.8 });
 * ```
 */
export class PixArtAlphaControlnetPipeline extends PixArtAlphaPipeline {
  /**
   * Loads a pipeline in diffusers' layout, and a ControlNet in its own or the original's.
   *
   * @param idOrFolder A path or URL with `model_index.json`, a preset such as `alpha-1024`, or `org/name` on the hub.
   * @throws {ConfigError} when the folder holds another kind of model.
   * @throws {WeightsError} when a file is missing or broken, or the ControlNet is not one of this transformer.
   */
  static override async fromPretrained(
    idOrFolder: string,
    options: ControlnetLoadOptions,
  ): Promise<PixArtAlphaControlnetPipeline> {
    return await PixArtAlphaControlnetPipeline.load(
      idOrFolder,
      options,
      (components) => new PixArtAlphaControlnetPipeline(components),
    );
  }

  /** Makes pictures from a prompt and a `controlImage`; see `PixArtAlphaPipeline.generate`. */
  override async generate(
    prompt: string | readonly string[] | undefined,
    options: ControlnetOptions,
  ): Promise<GenerateResult> {
    checkCondition(options);
    return await super.generate(prompt, options);
  }
}

/**
 * Text to image with PixArt-Σ, steered by a picture: the same recipe. No ControlNet of Σ was released; `PixArtControlNetAdapterModel.fromTransformer`
 * makes one to train.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, edgeImage, PixArtControlNetAdapterModel, PixArtSigmaControlnetPipeline, PixArtSigmaPipeline } from "@pixart/webgpu";
 * using base = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL);
 * const { images: [apple] } = await base.generate("a red apple", { seed: 0, numInferenceSteps: 2 });
 * using controlnet = await PixArtControlNetAdapterModel.fromTransformer(base.components.transformer, { copies: 3 });
 * const pipe = new PixArtSigmaControlnetPipeline({ ...base.components, controlnet });
 * const options = { controlImage: edgeImage(apple), seed: 0, numInferenceSteps: 2 };
 * const { images } = await pipe.generate("a red apple", options);
 * console.assert(images[0].width === apple.width);
 * ```
 */
export class PixArtSigmaControlnetPipeline extends PixArtSigmaPipeline {
  /** Loads a pipeline and its ControlNet; see `PixArtAlphaControlnetPipeline.fromPretrained`. */
  static override async fromPretrained(
    idOrFolder: string,
    options: ControlnetLoadOptions,
  ): Promise<PixArtSigmaControlnetPipeline> {
    return await PixArtSigmaControlnetPipeline.load(
      idOrFolder,
      options,
      (components) => new PixArtSigmaControlnetPipeline(components),
    );
  }

  /** Makes pictures from a prompt and a `controlImage`; see `PixArtSigmaPipeline.generate`. */
  override async generate(
    prompt: string | readonly string[] | undefined,
    options: ControlnetOptions,
  ): Promise<GenerateResult> {
    checkCondition(options);
    return await super.generate(prompt, options);
  }
}
