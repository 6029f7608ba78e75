// What `generate` takes and gives back, and the checks of it before any work. Names and defaults are diffusers', in camelCase.

import { UsageError } from "../errors.ts";
import { formatShape, Tensor } from "../gpu/tensor.ts";
import type { Image } from "../io/image.ts";
import type { Tiling } from "../vae/tiling.ts";
import type { ControlOptions } from "./control_options.ts";
import type { GuidanceVariant } from "./guidance.ts";
import type { PagOptions } from "./pag.ts";

/** Numbers with a shape, on the host. */
export interface HostTensor {
  data: Float32Array;
  shape: readonly number[];
}

/** Told after each step: how far the picture is. */
export interface StepInfo {
  /** Steps done, from 1. */
  step: number;
  steps: number;
  /** What the model was asked at. */
  timestep: number;
  /** Until the last step is done, as the steps so far went; nothing before the first was. */
  secondsLeft?: number;
  /**
   * What the latents look like after this step, at a pixel each and without the VAE's decoder; to be asked for before the next step.
   *
   * @returns A picture of each sample that is made at once.
   * @throws {UsageError} when the run went on, or there is no VAE whose latents these are.
   */
  preview(): Promise<Image[]>;
}

/** A prompt's embeddings in place of its text. */
export interface EmbeddingOptions {
  /** [B, L, C] */
  promptEmbeds?: Tensor | HostTensor;
  /** [B * L], 1 keeps and 0 masks a token. */
  promptAttentionMask?: ArrayLike<number>;
  /** [B, L, C] */
  negativePromptEmbeds?: Tensor | HostTensor;
  /** [B * L] */
  negativePromptAttentionMask?: ArrayLike<number>;
}

/**
 * Options of a run that starts from pictures: image to image, and inpainting with a mask. Names are diffusers'.
 *
 * @example
 * ```ts
 * import { DEFAULT_MODEL, Image, PixArtSigmaPipeline } from "@pixart/webgpu";
 * using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL);
 * const apple = "a red apple on a blue background";
 * const { images: [image] } = await pipe.generate(apple, { seed: 0, numInferenceSteps: 4 });
 * // Image to image: half of the noise, so that the shapes stay.
 * await pipe.generate("a lemon on a blue background", { image, strength: 0.5, numInferenceSteps: 4 });
 * // Inpainting: only the right half is painted anew.
 * const pixels = new Uint8Array(64 * 64 * 3).map((_, i) => Math.floor(i / 3) % 64 < 32 ? 0 : 255);
 * const maskImage = new Image({ width: 64, height: 64, pixels });
 * const { images } = await pipe.generate("a lemon on a blue background", { image, maskImage, numInferenceSteps: 4 });
 * console.assert(images[0].width === 64);
 * ```
 */
export interface StartImageOptions {
  /** The picture to start from, or one a prompt. It is stretched to the size that is painted; its own is the default size. */
  image?: Image | readonly Image[];
  /** White where the picture is painted anew, black where it stays: one for all pictures, or one a prompt. */
  maskImage?: Image | readonly Image[];
  /** The share of the steps that is run: 0 gives the picture as the VAE sees it, 1 starts from noise. 0.8, or 1 with a mask. */
  strength?: number;
}

/** Options of `generate`. */
export interface GenerateOptions extends EmbeddingOptions, PagOptions, StartImageOptions, ControlOptions {
  /** What the picture must not show; one for all prompts, or one each. */
  negativePrompt?: string | readonly string[];
  numInferenceSteps?: number;
  /** The times to ask the model at, in place of the scheduler's own. */
  timesteps?: readonly number[];
  /** The noise levels to step through; few schedulers take them. */
  sigmas?: readonly number[];
  /** How strongly the prompt pulls; 1 or less runs without guidance. */
  guidanceScale?: number;
  /**
   * Whose guidance: diffusers', unless `original` asks for that of PixArt's own repository, where the negative takes the prompt's mask
   * and IDDPM guides three of the four channels.
   */
  guidanceVariant?: GuidanceVariant;
  numImagesPerPrompt?: number;
  /**
   * Pictures that are painted at once; a larger batch is painted in parts, each picture from the noise that it has in the whole batch.
   * As many as fit the device when not given; fewer where memory runs out.
   */
  batchSize?: number;
  /** Pixels down; the checkpoint's own size when not given. */
  height?: number;
  /** Pixels across. */
  width?: number;
  /** For schedulers that know it (DDIM). */
  eta?: number;
  /** Seeds a generator as `torch.Generator("cpu").manual_seed` does; one for all images, or one each. Random when not given. */
  seed?: number | readonly number[];
  /** [B, 4, h, w] noise to start from, in place of a seed's. */
  latents?: Tensor | HostTensor;
  /** `pil` gives images, `np` [B, H, W, 3] and `pt` [B, 3, H, W] numbers in 0..1, `latent` the latents. */
  outputType?: "pil" | "np" | "pt" | "latent";
  /** Cleans the prompt as the model's training data was. */
  cleanCaption?: boolean;
  /** Paints at the nearest size that the model was trained for, then resizes and crops. */
  useResolutionBinning?: boolean;
  /** Tokens of a prompt; longer ones are cut. */
  maxSequenceLength?: number;
  /**
   * Whether `(word:1.3)` in prompts and negative prompts moves the word's embeddings from those of an empty prompt by 1.3, and `(word)` by
   * 1.1: ComfyUI's rule for T5. A parenthesis with a backslash before it is text.
   *
   * @example
   * ```ts
   * import { DEFAULT_MODEL, PixArtSigmaPipeline } from "@pixart/webgpu";
   * using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL);
   * const options = { promptWeighting: true, seed: 0, numInferenceSteps: 2 };
   * const { images } = await pipe.generate("a (red:1.5) apple on a (blue:0.5) background", options);
   * console.assert(images[0].width === 64);
   * ```
   */
  promptWeighting?: boolean;
  /** Decodes in overlapping tiles, as after diffusers' `enable_vae_tiling`; on its own where a picture does not fit the device. */
  vaeTiling?: boolean | Tiling;
  /** Decodes one picture at a time, as after diffusers' `enable_vae_slicing`; on its own where a batch does not fit the device. */
  vaeSlicing?: boolean;
  /** Stops the run within one step. */
  signal?: AbortSignal;
  /** Told after each step; what it returns is waited for. */
  onStep?: (info: StepInfo) => unknown;
}

/** What `generate` gives back. */
export interface GenerateResult {
  /** With output type `pil`: the pictures, prompt by prompt. */
  images: Image[];
  /** With the other output types: the numbers. */
  output?: HostTensor;
  /** The seed of each picture, or of all; nothing when latents were given. */
  seed?: number | readonly number[];
  /** What the caller should know: a prompt that was cut. */
  warnings: string[];
}

const OUTPUT_TYPES = ["pil", "np", "pt", "latent"];
const VARIANTS = ["diffusers", "original"];

/** The shape of a tensor on either side. */
export function shapeOf(tensor: Tensor | HostTensor): readonly number[] {
  return tensor.shape;
}

function positiveWhole(name: string, value: number | undefined): void {
  if (value !== undefined && (!Number.isInteger(value) || value < 1)) {
    throw new UsageError(`Cannot generate as ${name} must be a positive whole number: ${value}`);
  }
}

function checkSeed(seed: GenerateOptions["seed"]): void {
  for (const one of seed === undefined ? [] : typeof seed === "number" ? [seed] : seed) {
    if (!Number.isSafeInteger(one)) throw new UsageError(`Cannot generate as a seed must be a whole number: ${one}`);
  }
}

function checkEmbeddings(name: string, embeds?: Tensor | HostTensor, mask?: ArrayLike<number>): void {
  if (!embeds) return;
  if (!mask) {
    throw new UsageError(`Cannot generate as ${name}Embeds must come with ${name}AttentionMask: it is missing`);
  }
  const shape = shapeOf(embeds);
  if (shape.length !== 3) {
    throw new UsageError(`Cannot generate as ${name}Embeds must be [B, L, C]: ${formatShape(shape)}`);
  }
  if (!(embeds instanceof Tensor) && embeds.data.length !== shape[0] * shape[1] * shape[2]) {
    throw new UsageError(`Cannot generate as ${name}Embeds ${formatShape(shape)} must hold as many numbers as that`);
  }
  if (mask.length !== shape[0] * shape[1]) {
    throw new UsageError(
      `Cannot generate as ${name}AttentionMask must have one value a token: ${mask.length} for ${formatShape(shape)}`,
    );
  }
}

/**
 * Checks the inputs of `generate` against each other (REFERENCE Q04).
 *
 * @param multiple Pixels that height and width must be multiples of: 8, or more where the VAE and patches need it.
 * @throws {UsageError} with the first rule that is broken.
 */
export function checkInputs(
  prompt: string | readonly string[] | undefined,
  options: GenerateOptions,
  height: number,
  width: number,
  multiple: number,
): void {
  if (height % multiple !== 0 || width % multiple !== 0 || !(height > 0) || !(width > 0)) {
    throw new UsageError(
      `Cannot generate an image ${width}x${height} as width and height must be multiples of ${multiple}: they are not`,
    );
  }
  positiveWhole("numInferenceSteps", options.numInferenceSteps);
  positiveWhole("numImagesPerPrompt", options.numImagesPerPrompt);
  positiveWhole("maxSequenceLength", options.maxSequenceLength);
  positiveWhole("batchSize", options.batchSize);
  checkSeed(options.seed);
  const { negativePrompt, promptEmbeds, promptAttentionMask, negativePromptEmbeds, guidanceScale = 4.5 } = options;
  if (!Number.isFinite(guidanceScale)) {
    throw new UsageError(`Cannot generate as guidanceScale must be a finite number: ${guidanceScale}`);
  }
  const { guidanceVariant = "diffusers" } = options;
  if (!VARIANTS.includes(guidanceVariant)) {
    throw new UsageError(`Cannot generate as guidanceVariant must be ${VARIANTS.join(" or ")}: ${guidanceVariant}`);
  }
  if (prompt !== undefined && promptEmbeds) {
    throw new UsageError("Cannot generate as either a prompt or promptEmbeds must be given: both are");
  }
  if (prompt === undefined && !promptEmbeds) {
    throw new UsageError("Cannot generate as either a prompt or promptEmbeds must be given: neither is");
  }
  if (prompt !== undefined && typeof prompt !== "string") {
    if (!Array.isArray(prompt) || prompt.length === 0 || prompt.some((one) => typeof one !== "string")) {
      throw new UsageError(
        `Cannot generate as a prompt must be a string or a list of strings: ${JSON.stringify(prompt)}`,
      );
    }
  }
  if (prompt !== undefined && negativePromptEmbeds) {
    throw new UsageError("Cannot generate as negativePromptEmbeds go with promptEmbeds: a prompt is given");
  }
  if (negativePrompt !== undefined && negativePromptEmbeds) {
    throw new UsageError("Cannot generate as either negativePrompt or negativePromptEmbeds must be given: both are");
  }
  const prompts = prompt === undefined ? shapeOf(promptEmbeds!)[0] : typeof prompt === "string" ? 1 : prompt.length;
  if (negativePrompt !== undefined && typeof negativePrompt !== "string" && negativePrompt.length !== prompts) {
    throw new UsageError(
      `Cannot generate as negative prompts must be one or as many as prompts: ${negativePrompt.length} for ${prompts}`,
    );
  }
  checkEmbeddings("prompt", promptEmbeds, promptAttentionMask);
  checkEmbeddings("negativePrompt", negativePromptEmbeds, options.negativePromptAttentionMask);
  if (promptEmbeds && negativePromptEmbeds) {
    const [shape, negative] = [shapeOf(promptEmbeds), shapeOf(negativePromptEmbeds)];
    if (shape.join() !== negative.join()) {
      throw new UsageError(
        `Cannot generate as both embeddings must have the same shape: ${formatShape(shape)} and ${
          formatShape(negative)
        }`,
      );
    }
  }
  const images = prompts * (options.numImagesPerPrompt ?? 1);
  if (Array.isArray(options.seed) && options.seed.length !== images) {
    throw new UsageError(
      `Cannot generate as seeds must be one or as many as images: ${options.seed.length} for ${images}`,
    );
  }
  if (options.outputType !== undefined && !OUTPUT_TYPES.includes(options.outputType)) {
    throw new UsageError(`Cannot generate as outputType must be ${OUTPUT_TYPES.join(", ")}: ${options.outputType}`);
  }
}
