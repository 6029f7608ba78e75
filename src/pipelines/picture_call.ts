// What a call of `generate` will do, decided before any work. In: a prompt, options, the pipeline's parts. Out: sizes, steps, guidance
// and seed.

import { UsageError } from "../errors.ts";
import { Generator } from "../random/generator.ts";
import { type AspectRatioTable, classifyHeightWidthBin } from "./aspect_ratio_bins.ts";
import type { PipelineComponents } from "./components.ts";
import { type ControlPlan, planControl } from "./control_options.ts";
import { checkInputs, type GenerateOptions, shapeOf } from "./generate_options.ts";
import { classifierFree, type Guidance, originalGuidance, UNGUIDED } from "./guidance.ts";
import { sizeOfImages, strengthOf } from "./image_start.ts";
import { perturbed } from "./pag.ts";
import { planRun, type RunPlan } from "./run_plan.ts";

/** A size in pixels. */
export interface PictureSize {
  height: number;
  width: number;
}

/** What differs between the pipelines. */
export interface PipelineTraits {
  /** Tokens of a prompt unless the caller says otherwise. */
  maxSequenceLength: number;
  /** The sizes that a checkpoint of this sample size was trained for; nothing where there is no table. */
  bins(sampleSize: number): AspectRatioTable | undefined;
  /** What a call does unless the caller says otherwise, where that is not diffusers' default. */
  defaults?: Pick<GenerateOptions, "numInferenceSteps" | "guidanceScale" | "timesteps">;
}

/** The parts of a pipeline that decide what a call does. */
export interface CalledPipeline {
  components: PipelineComponents;
  traits: PipelineTraits;
  vaeScaleFactor: number;
  defaultSize: PictureSize;
}

/** What a call will do. */
export interface PictureCall {
  prompt: string | readonly string[] | undefined;
  options: GenerateOptions & { numInferenceSteps: number; guidanceScale: number };
  /** Of the result. */
  size: PictureSize;
  /** What is painted, before it is resized and cropped to the size of the result. */
  painted: PictureSize;
  plan: RunPlan;
  guidance: Guidance;
  /** Pictures of all prompts. */
  pictures: number;
  /** Where the run starts from pictures, the share of it that is run. */
  strength?: number;
  /** Where a ControlNet steers. */
  control?: ControlPlan;
  /** Nothing where latents are given without one. */
  seed?: number | readonly number[];
  /** Size conditions of PixArt-α 1024. */
  micro?: { resolution: readonly [number, number]; aspectRatio: number };
}

const DEFAULT_STEPS = 20;
const DEFAULT_GUIDANCE = 4.5;
const MULTIPLE = 8; // diffusers' rule for heights and widths

/**
 * Decides what a call does. It sets the scheduler and takes all of its plan, since another call may set it for itself.
 *
 * @throws {UsageError} when the options do not fit each other or the pipeline.
 */
export function planCall(
  { components: { transformer, scheduler, vae, controlnet }, traits, vaeScaleFactor, defaultSize }: CalledPipeline,
  prompt: string | readonly string[] | undefined,
  given: GenerateOptions,
): PictureCall {
  const { defaults = {} } = traits;
  const options = {
    ...given,
    numInferenceSteps: given.numInferenceSteps ?? defaults.numInferenceSteps ?? DEFAULT_STEPS,
    guidanceScale: given.guidanceScale ?? defaults.guidanceScale ?? DEFAULT_GUIDANCE,
    timesteps: given.timesteps ?? (given.sigmas ? undefined : defaults.timesteps),
  };
  // Latents must cut into whole patches, too.
  const multiple = Math.max(MULTIPLE, vaeScaleFactor * transformer.config.patchSize);
  const bins = options.useResolutionBinning === false ? undefined : traits.bins(transformer.config.sampleSize);
  const own = sizeOfImages(options.image ?? options.controlImage, bins ? MULTIPLE : multiple) ?? defaultSize;
  const size = { height: options.height ?? own.height, width: options.width ?? own.width };
  checkInputs(prompt, options, size.height, size.width, bins ? MULTIPLE : multiple);
  const prompts = options.promptEmbeds
    ? shapeOf(options.promptEmbeds)[0]
    : typeof prompt === "string"
    ? 1
    : prompt!.length;
  const strength = strengthOf(options, prompts);
  const control = planControl(options, controlnet, transformer.config, prompts);
  if ((strength !== undefined || control) && !vae) {
    throw new UsageError("Cannot take an image as the pipeline needs a VAE: it has none");
  }
  const [height, width] = bins ? classifyHeightWidthBin(size.height, size.width, bins) : [size.height, size.width];
  const { guidanceScale, guidanceVariant } = options;
  const unperturbed = guidanceScale <= 1
    ? UNGUIDED
    : guidanceVariant === "original"
    ? originalGuidance(guidanceScale, scheduler)
    : classifierFree(guidanceScale);
  return {
    prompt,
    options,
    size,
    painted: { height, width },
    plan: planRun(scheduler, options, strength),
    guidance: perturbed(unperturbed, options, transformer.config.numLayers),
    pictures: prompts * (options.numImagesPerPrompt ?? 1),
    strength,
    control,
    seed: options.seed ?? (options.latents ? undefined : Number(Generator.fromEntropy().seed)),
    micro: transformer.config.useAdditionalConditions
      ? { resolution: [height, width], aspectRatio: height / width }
      : undefined,
  };
}

/**
 * How many pictures are painted at once when nobody says: what the transformer makes of them on the way must fit one binding, so that
 * each kernel runs once.
 *
 * @param captions Captions that each picture is asked with.
 */
export function picturesAtOnce(
  { components: { transformer }, vaeScaleFactor }: CalledPipeline,
  { height, width }: PictureSize,
  captions: number,
): number {
  const { patchSize, numAttentionHeads, attentionHeadDim } = transformer.config;
  const tokens = height * width / (vaeScaleFactor * patchSize) ** 2;
  const widest = 4 * numAttentionHeads * attentionHeadDim; // inside the feed-forward network
  const limit = transformer.device.limits.maxStorageBufferBindingSize;
  return Math.max(1, Math.floor(limit / (captions * tokens * widest * 4)));
}
