// Steering by a ControlNet: the options of a call, checked. In: what the caller asks for. Out: when and how strongly a run is steered.

import type { TransformerConfig } from "../dit/config.ts";
import type { PixArtControlNetAdapterModel } from "../dit/controlnet.ts";
import { UsageError } from "../errors.ts";
import type { Image } from "../io/image.ts";

/**
 * Options of a run that a ControlNet steers; names are diffusers'.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, edgeImage, PixArtControlNetAdapterModel, PixArtSigmaPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL);
 * // An untrained one, which does not steer yet; a trained one comes from PixArtControlNetAdapterModel.fromPretrained.
 * using controlnet = await PixArtControlNetAdapterModel.fromTransformer(pipe.components.transformer, { copies: 3 });
 * pipe.components.controlnet = controlnet;
 * const options = { seed: 0, numInferenceSteps: 2 };
 * const { images: [apple] } = await pipe.generate("a red apple on a blue background", options);
 * const { images } = await pipe.generate("a lemon on a blue background", { ...options, controlImage: edgeImage(apple) });
 * console.assert(images[0].width === 64);
 * ```
 */
export interface ControlOptions {
  /**
   * What the pipeline's ControlNet is shown, such as edges, or one a prompt. It is stretched to the size that is painted; its own is the
   * default size where there is no `image`. Without it the ControlNet rests.
   */
  controlImage?: Image | readonly Image[];
  /** How strongly it steers; 0 is without. */
  controlnetConditioningScale?: number;
  /** The share of the steps before it begins to steer. */
  controlGuidanceStart?: number;
  /** The share of the steps after which it steers no more. */
  controlGuidanceEnd?: number;
}

/** How a run is steered. */
export interface ControlPlan {
  net: PixArtControlNetAdapterModel;
  /** One, or one a prompt. */
  images: readonly Image[];
  conditioningScale: number;
  /**
   * Whether a step is steered: it must lie whole in the chosen share.
   *
   * @param step From 0.
   */
  isSteered(step: number, steps: number): boolean;
}

const OTHERS = ["controlnetConditioningScale", "controlGuidanceStart", "controlGuidanceEnd"] as const;

/**
 * Decides how a run is steered.
 *
 * @param net The pipeline's.
 * @param base The transformer's configuration.
 * @param prompts How many there are.
 * @returns undefined when it is not.
 * @throws {UsageError} when the options do not fit each other or the pipeline.
 */
export function planControl(
  options: ControlOptions,
  net: PixArtControlNetAdapterModel | undefined,
  base: TransformerConfig,
  prompts: number,
): ControlPlan | undefined {
  const { controlImage, controlnetConditioningScale: scale = 1 } = options;
  const { controlGuidanceStart: start = 0, controlGuidanceEnd: end = 1 } = options;
  if (controlImage === undefined) {
    const other = OTHERS.find((name) => options[name] !== undefined);
    if (other) throw new UsageError(`Cannot generate as ${other} goes with a controlImage: none is given`);
    return undefined;
  }
  if (!net) throw new UsageError("Cannot generate as a controlImage is for a ControlNet: the pipeline has none");
  const images: readonly Image[] = controlImage instanceof Array ? controlImage : [controlImage as Image];
  if (images.length === 0 || images.length > 1 && images.length !== prompts) {
    throw new UsageError(
      `Cannot generate as control images must be one or as many as prompts: ${images.length} for ${prompts}`,
    );
  }
  if (!Number.isFinite(scale)) {
    throw new UsageError(`Cannot generate as controlnetConditioningScale must be a finite number: ${scale}`);
  }
  if (!(start >= 0 && start < end && end <= 1)) {
    throw new UsageError(
      `Cannot generate as controlGuidanceStart must be below controlGuidanceEnd, both from 0 to 1: ${start} and ${end}`,
    );
  }
  const isFitting = net.blocks.length < base.numLayers &&
    net.config.numAttentionHeads === base.numAttentionHeads && net.config.attentionHeadDim === base.attentionHeadDim;
  if (!isFitting) {
    throw new UsageError(
      `Cannot generate as the ControlNet must be of the transformer's extents: it has ${net.blocks.length} copies with ` +
        `${net.config.numAttentionHeads} heads of ${net.config.attentionHeadDim}`,
    );
  }
  if (scale === 0) return undefined;
  const isSteered = (step: number, steps: number) => step / steps >= start && (step + 1) / steps <= end;
  return { net, images, conditioningScale: scale, isSteered };
}
