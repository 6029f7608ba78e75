// Making a picture again from what it says of itself. In: a PNG that this program wrote. Out: the options that made it.

import { UsageError } from "../errors.ts";
import { loadImage } from "../io/load_image.ts";
import { WEIGHT_DTYPES } from "../ops/weight_kernels.ts";
import { DEFAULT_MODEL } from "../pipelines/default_model.ts";
import { modelLabel } from "../pipelines/metadata.ts";
import type { ModelFlags } from "./open_pipeline.ts";
import type { PictureFlags } from "./picture_options.ts";

/** How a picture was made. */
export interface Remake {
  prompt: string;
  flags: Partial<PictureFlags & ModelFlags>;
  /** Its place in its batch: with one seed for all, the place decides the noise. */
  index: number;
}

/** Looks for a model by what pictures call it. */
function modelOf(label: string, file: string): string | undefined {
  if (label === modelLabel(DEFAULT_MODEL)) return undefined;
  if (label.includes("/")) return label;
  throw new UsageError(
    `Cannot find the model of ${file} as it was a folder, of which only the name is known: give --model the folder ${label}`,
  );
}

/**
 * Reads how a picture was made.
 *
 * @param given Options that the user names, which the picture need not tell.
 * @throws {UsageError} when it is no picture, or does not tell what is needed.
 */
export async function remakeOf(file: string, given: ReadonlySet<string>, signal?: AbortSignal): Promise<Remake> {
  const { metadata } = await loadImage(file, { signal });
  const cannot = (state: string) =>
    new UsageError(`Cannot make ${file} again as it must say how it was made: ${state}`);
  const number = (key: string) => {
    const value = metadata[key] === undefined ? undefined : Number(metadata[key]);
    if (value !== undefined && !Number.isFinite(value)) throw cannot(`its ${key} is ${metadata[key]}`);
    return value;
  };
  if (metadata.Software !== "pixart-webgpu" || metadata.num_inference_steps === undefined) {
    throw cannot("it is no PNG with the words of this program");
  }
  if (metadata.prompt === undefined && !given.has("prompt")) throw cannot("it was made of prompt embeddings");
  if (metadata.seed === undefined && !given.has("seed")) throw cannot("it was made of latents, not of a seed");
  if (metadata.lora !== undefined && !given.has("lora")) {
    throw cannot(`the files of its LoRAs ${metadata.lora} are not known; give --lora FILE:SCALE for each`);
  }
  if (metadata.strength !== undefined && !given.has("image")) {
    throw cannot(
      "it was made of another picture; give that by --image FILE, and its mask by --mask FILE if it had one",
    );
  }
  if (metadata.controlnet_conditioning_scale !== undefined && !(given.has("controlnet") && given.has("controlImage"))) {
    throw cannot(
      "a ControlNet steered it; give that by --controlnet FILE, and what it was shown by --control-image FILE",
    );
  }
  const isNew = given.has("seed") || given.has("numImages");
  const { scheduler, dtype, negative_prompt: negative } = metadata;
  const flags: Remake["flags"] = {
    steps: number("num_inference_steps"),
    guidance: number("guidance_scale"),
    seed: number("seed"),
    negative,
    width: number("width"),
    height: number("height"),
    numImages: isNew ? undefined : number("batch_size"),
    scheduler,
    maxSequenceLength: number("max_sequence_length"),
    cleanCaption: metadata.clean_caption === undefined ? undefined : metadata.clean_caption === "true",
    binning: metadata.use_resolution_binning === undefined ? undefined : metadata.use_resolution_binning === "true",
    strength: number("strength"),
    timesteps: metadata.timesteps?.split(",").map(Number),
    eta: number("eta"),
    originalGuidance: metadata.guidance_variant === "original" ? true : undefined,
    promptWeighting: metadata.prompt_weighting === "true" ? true : undefined,
    controlScale: number("controlnet_conditioning_scale"),
    controlStart: number("control_guidance_start"),
    controlEnd: number("control_guidance_end"),
    pagScale: number("pag_scale"),
    pagAdaptiveScale: number("pag_adaptive_scale"),
    pagLayers: metadata.pag_applied_layers?.split(","),
    dtype: WEIGHT_DTYPES.find((one) => one === dtype),
    model: given.has("model") || metadata.model === undefined ? undefined : modelOf(metadata.model, file),
  };
  return { prompt: metadata.prompt, flags, index: isNew ? 0 : number("image_index") ?? 0 };
}
