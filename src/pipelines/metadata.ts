// What a picture says of itself: enough to make it again. In: a call's options. Out: text for the PNG.

import type { AdapterInfo } from "../layers/adapters.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";

/** A picture's origin. */
export interface PictureOrigin {
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
  /** Options that are told where they are not as usual. */
  maxSequenceLength?: number;
  cleanCaption?: boolean;
  useResolutionBinning?: boolean;
}

/**
 * What pictures call a model: `org/name` for one of the hub's cache, else the name of its folder, since a path says more of a machine
 * than of a model.
 *
 * @example
 * ```ts
 * import { modelLabel } from "./src/pipelines/metadata.ts";
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
    ["use_resolution_binning", origin.useResolutionBinning === false ? "false" : undefined],
    ["Software", "pixart-webgpu"],
  ];
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
