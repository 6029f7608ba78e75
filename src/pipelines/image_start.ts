// Image to image and inpainting: a run that starts from pictures. In: pictures, masks, a plan. Out: noisy latents, and what of the
// pictures is put back at each step.

import { UsageError } from "../errors.ts";
import type { Scope } from "../gpu/arena.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Image } from "../io/image.ts";
import { resizeImage } from "../io/resize_image.ts";
import { mixNoise, type NoiseMix } from "../ops/mix_noise.ts";
import { samplePosterior } from "../ops/sample_posterior.ts";
import type { AutoencoderKL } from "../vae/autoencoder.ts";
import type { Tiling } from "../vae/tiling.ts";
import type { StartImageOptions } from "./generate_options.ts";
import type { BatchPart, NoiseSource } from "./noise_source.ts";
import type { RunPlan } from "./run_plan.ts";

const STRENGTH = 0.8;
const MASKED_STRENGTH = 1;

/** The part of pictures that inpainting keeps: their clean latents get the noise of each step and go where the mask is 0. */
export interface KeptPart {
  /** [1 or B, h, w] */
  mask: Tensor;
  /** [B, C, h, w] */
  clean: Tensor;
  /** [B, C, h, w] */
  noise: Tensor;
  /** What is kept after each step. */
  levels: readonly NoiseMix[];
}

const listOf = <T>(one: T | readonly T[] | undefined): readonly T[] =>
  one === undefined ? [] : Array.isArray(one) ? one : [one as T];

/**
 * The strength of a run.
 *
 * @param prompts How many there are.
 * @returns undefined when the run starts from noise.
 * @throws {UsageError} when the options do not fit each other.
 */
export function strengthOf({ image, maskImage, strength }: StartImageOptions, prompts: number): number | undefined {
  if (image === undefined) {
    const other = maskImage !== undefined ? "maskImage" : strength !== undefined ? "strength" : undefined;
    if (other) throw new UsageError(`Cannot generate as ${other} goes with an image: none is given`);
    return undefined;
  }
  for (const [name, { length }] of [["images", listOf(image)], ["masks", listOf(maskImage)]] as const) {
    if (length > 1 && length !== prompts || (name === "images" && length === 0)) {
      throw new UsageError(`Cannot generate as ${name} must be one or as many as prompts: ${length} for ${prompts}`);
    }
  }
  const chosen = strength ?? (maskImage === undefined ? STRENGTH : MASKED_STRENGTH);
  if (!(chosen >= 0 && chosen <= 1)) {
    throw new UsageError(`Cannot generate as strength must be from 0 to 1: ${chosen}`);
  }
  return chosen;
}

/** The size of the first picture, cut to multiples: what is painted when no size is asked for. */
export function sizeOfImages(
  image: StartImageOptions["image"],
  multiple: number,
): { height: number; width: number } | undefined {
  const [first] = listOf(image);
  const fitting = (extent: number) => Math.max(multiple, extent - extent % multiple);
  return first && { height: fitting(first.height), width: fitting(first.width) };
}

/** A picture as the VAE takes it: [3, height, width] in -1..1. */
function toNumbers(image: Image, width: number, height: number): Float32Array {
  const { pixels } = resizeImage(image, width, height);
  const size = width * height;
  const numbers = new Float32Array(3 * size);
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) numbers[c * size + i] = 2 * Math.fround(pixels[3 * i + c] / 255) - 1;
  }
  return numbers;
}

/** A mask [height / factor, width / factor]: 1 where the pixel in the corner of a latent pixel is light, else 0. */
function toMask(image: Image, width: number, height: number, factor: number): Float32Array {
  const { pixels } = resizeImage(image, width, height);
  const [w, h] = [Math.floor(width / factor), Math.floor(height / factor)];
  return Float32Array.from({ length: w * h }, (_, i) => {
    const at = 3 * (Math.floor(i / w) * factor * width + (i % w) * factor);
    // Luma as ITU-R 601 has it, in Pillow's whole numbers.
    const grey = (pixels[at] * 19595 + pixels[at + 1] * 38470 + pixels[at + 2] * 7471 + 0x8000) >> 16;
    return grey / 255 >= 0.5 ? 1 : 0;
  });
}

/**
 * Encodes pictures to the moments of their latents, one after another.
 *
 * @returns [B, h, w, 2 C] in the scope: the moments of `images[sources[b]]` for each b.
 */
export async function encodeMoments(
  device: Device,
  vae: AutoencoderKL,
  scope: Scope,
  images: readonly Image[],
  sources: readonly number[],
  { height, width, tiling, signal }: Pick<ImageStart, "height" | "width" | "tiling" | "signal">,
): Promise<Tensor> {
  await using _held = await vae.use({ signal });
  const cut = vae.cutFor(1, height, width, { tiling });
  const grid = [height / vae.scaleFactor, width / vae.scaleFactor];
  const shape = [...grid, 2 * vae.config.latentChannels];
  const moments = scope.tensor([sources.length, ...shape]);
  const size = moments.size / sources.length;
  for (const source of new Set(sources)) {
    signal?.throwIfAborted();
    const rec = new Recorder(device);
    using _scope = rec.scope();
    const image = rec.upload(toNumbers(images[source], width, height), [1, 3, height, width]);
    const encoded = vae.encode(rec, image, { tiling: cut.tiling });
    sources.forEach((other, sample) => {
      if (other === source) rec.copy(encoded, moments.view([1, ...shape], sample * size));
    });
    rec.submit();
  }
  return moments;
}

/** What a run that starts from pictures needs. */
export interface ImageStart {
  vae: AutoencoderKL;
  options: StartImageOptions;
  plan: RunPlan;
  strength: number;
  part: BatchPart;
  /** Pictures of each prompt. */
  perPrompt: number;
  height: number;
  width: number;
  /** Encodes in tiles: the VAE's own when true, and where a picture does not fit the device. */
  tiling?: boolean | Tiling;
  /** Draws first what the pictures' latents vary by, then the noise of the run: diffusers' order. */
  random: NoiseSource;
  /** [B, C, h, w] noise in place of the random one. */
  noise?: (scope: Scope) => Tensor;
  signal?: AbortSignal;
}

/**
 * Makes the latents that a run starts from.
 *
 * @returns Latents [B, C, h, w] and, with a mask, what of the pictures is kept, all in the scope.
 */
export async function startFromImages(
  device: Device,
  scope: Scope,
  start: ImageStart,
): Promise<{ latents: Tensor; kept?: KeptPart }> {
  const { vae, options, plan, strength, part, perPrompt, height, width, tiling, random, signal } = start;
  const images = listOf(options.image), masks = listOf(options.maskImage);
  const prompts = Array.from({ length: part.count }, (_, i) => Math.floor((part.start + i) / perPrompt));
  const sources = prompts.map((prompt) => images.length > 1 ? prompt : 0);
  using work = device.arena.scope();
  const moments = await encodeMoments(device, vae, work, images, sources, { height, width, tiling, signal });
  const [batch, h, w] = moments.shape;
  const shape = [batch, vae.config.latentChannels, h, w];
  const rec = new Recorder(device).within(scope);
  const varied = rec.upload(random.drawFrom(shape, sources, images.length), shape);
  const { scalingFactor: scale, shiftFactor: shift } = vae.config;
  const clean = samplePosterior(rec, moments, varied, { scale, shift });
  const noise = start.noise?.(scope) ?? rec.upload(random.draw(shape), shape);
  const latents = rec.tensor(shape);
  const [first] = plan.levels;
  const isNoise = masks.length > 0 && strength === 1;
  mixNoise(rec, latents, { clean, noise, ...(isNoise ? { keep: 0, add: plan.initNoiseSigma } : first) });
  let kept: KeptPart | undefined;
  if (masks.length > 0) {
    const each = masks.length > 1 ? prompts.map((prompt) => masks[prompt]) : masks;
    const numbers = each.flatMap((mask) => [...toMask(mask, width, height, vae.scaleFactor)]);
    const mask = rec.upload(Float32Array.from(numbers), [each.length, h, w]);
    kept = { mask, clean, noise, levels: plan.levels.slice(1) };
  }
  rec.submit();
  return { latents, kept };
}
