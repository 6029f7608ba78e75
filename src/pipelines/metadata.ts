// What a picture says of itself: enough to make it again. In: a call's options. Out: text for the PNG.

import type { Image } from "../io/image.ts";
import type { AdapterInfo } from "../layers/adapters.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";
import type { PipelineComponents } from "./components.ts";
import type { GenerateOptions } from "./generate_options.ts";
import type { PictureCall } from "./picture_call.ts";

/** Options that a picture tells where they are given and not as usual. */
type ToldOptions = Pick<
  GenerateOptions,
  | "maxSequenceLength"
  | "cleanCaption"
  | "promptWeighting"
  | "useResolutionBinning"
  | "timesteps"
  | "sigmas"
  | "eta"
  | "guidanceVariant"
  | "pagScale"
  | "pagAdaptiveScale"
  | "pagAppliedLayers"
  | "controlnetConditioningScale"
  | "controlGuidanceStart"
  | "controlGuidanceEnd"
>;

/** A picture's origin. */
export interface PictureOrigin extends ToldOptions {
  prompt?: string;
  negativePrompt?: string;
  /** The seed of this picture, or of the batch it is in. */
  seed?: number;
  /** Its place in the batch, from 0; with one seed for all, the place decides the noise. */
  index: number;
  batch: number;
  numInferenceSteps: number;
  guidanceScale: number;
  scheduler: Scheduler;
  model: string;
  dtype: string;
  adapters: readonly AdapterInfo[];
  width: number;
  height: number;
  /** Of a picture that was made of another. */
  strength?: number;
}

/**
 * What pictures call a model: `org/name` for one of the hub's cache, else the name of its folder, since a path says more of a machine
 * than of a model.
 *
 * @example
 * ```ts
 * import { modelLabel } from "./metadata.ts";
 * console.assert(modelLabel("/home/me/models/mine/") === "mine");
 * console.assert(modelLabel("hub/models--org--name/snapshots/0123") === "org/name");
 * ```
 */
export function modelLabel(address: string): string {
  const [, org, name] = /\/models--(.+?)--(.+?)\/(?:snapshots|pipelines)\//.exec(`/${address}`) ?? [];
  if (name !== undefined) return `${org}/${name}`;
  return address.replace(/\/+$/, "").split("/").at(-1) ?? address;
}

/** The LoRAs in the weights with their scales: `watercolour:0.8, cats:0.5`. */
function lorasOf(adapters: readonly AdapterInfo[]): string | undefined {
  const worn = adapters.filter(({ status }) => status !== "inactive");
  return worn.length > 0 ? worn.map(({ name, scale }) => `${name}:${scale}`).join(", ") : undefined;
}

/** Keyword to text, for the chunks of a PNG; keys are diffusers' argument names. */
export function pictureMetadata(origin: PictureOrigin): Record<string, string> {
  const { prompt, negativePrompt, seed, index, batch, scheduler } = origin;
  const perturbs = (origin.pagScale ?? 0) > 0;
  const entries: [string, string | undefined][] = [
    ["prompt", prompt],
    ["negative_prompt", negativePrompt],
    ["seed", seed?.toString()],
    ["image_index", batch > 1 ? `${index}` : undefined],
    ["batch_size", batch > 1 ? `${batch}` : undefined],
    ["num_inference_steps", `${origin.numInferenceSteps}`],
    ["guidance_scale", `${origin.guidanceScale}`],
    ["scheduler", scheduler.constructor.name],
    ["model", origin.model],
    ["dtype", origin.dtype],
    ["lora", lorasOf(origin.adapters)],
    ["width", `${origin.width}`],
    ["height", `${origin.height}`],
    ["max_sequence_length", origin.maxSequenceLength?.toString()],
    ["clean_caption", origin.cleanCaption === false ? "false" : undefined],
    ["prompt_weighting", origin.promptWeighting ? "true" : undefined],
    ["use_resolution_binning", origin.useResolutionBinning === false ? "false" : undefined],
    ["timesteps", origin.timesteps?.join()],
    ["sigmas", origin.sigmas?.join()],
    ["eta", origin.eta ? `${origin.eta}` : undefined],
    ["strength", origin.strength?.toString()],
    ["guidance_variant", origin.guidanceVariant === "original" ? "original" : undefined],
    ["pag_scale", perturbs ? `${origin.pagScale}` : undefined],
    ["pag_adaptive_scale", perturbs && origin.pagAdaptiveScale ? `${origin.pagAdaptiveScale}` : undefined],
    ["pag_applied_layers", perturbs ? origin.pagAppliedLayers?.toString() : undefined],
    ["controlnet_conditioning_scale", origin.controlnetConditioningScale?.toString()],
    ["control_guidance_start", origin.controlGuidanceStart?.toString()],
    ["control_guidance_end", origin.controlGuidanceEnd?.toString()],
    ["Software", "pixart-webgpu"],
  ];
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** Writes into each picture of a call how it was made. */
export function describeImages(
  images: readonly Image[],
  { prompt, options, size, strength, control, seed }: PictureCall,
  { scheduler, transformer: { dtype }, ...origin }:
    & Pick<PipelineComponents, "scheduler" | "transformer">
    & Pick<PictureOrigin, "model" | "adapters">,
): void {
  const { numImagesPerPrompt: perPrompt = 1, negativePrompt } = options;
  const pick = (texts: string | readonly string[] | undefined, i: number) =>
    texts === undefined || typeof texts === "string" ? texts : texts[Math.floor(i / perPrompt)];
  images.forEach((image, index) => {
    const own = typeof seed === "object"
      ? { seed: seed[index], index: 0, batch: 1 }
      : { seed, index, batch: images.length };
    const metadata = pictureMetadata({
      ...options,
      ...size,
      ...own,
      prompt: pick(prompt, index),
      negativePrompt: pick(negativePrompt, index),
      strength,
      controlnetConditioningScale: control?.conditioningScale,
      scheduler,
      dtype,
      model: origin.model,
      adapters: origin.adapters,
    });
    Object.assign(image.metadata, metadata);
  });
}
