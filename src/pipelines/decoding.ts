// Latents become pictures: scaled, decoded, resized to what was asked for, rounded to pixels, and read back in one wait.

import { NumericError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { readAll } from "../gpu/readback.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { Image } from "../io/image.ts";
import { countNonFinite } from "../ops/count_non_finite.ts";
import { resizeAndCrop } from "../ops/resize_and_crop.ts";
import { toImage, toPixels } from "../ops/to_pixels.ts";
import type { AutoencoderKL } from "../vae/autoencoder.ts";
import type { Tiling } from "../vae/tiling.ts";
import { resizeAndCropPlan } from "./aspect_ratio_bins.ts";
import type { HostTensor } from "./generate_options.ts";

/** What decoding gives: pictures, or numbers in 0..1. */
export interface Decoded {
  images: Image[];
  output?: HostTensor;
}

/** How latents are decoded. */
export interface DecodeOptions {
  /** Pixels to resize and crop to, where the picture was painted at another size. */
  height?: number;
  width?: number;
  /** Packed pixels, or numbers in one of two layouts. */
  layout: "pixels" | "nchw" | "nhwc";
  /** Decodes in tiles: the VAE's own when true. */
  tiling?: boolean | Tiling;
  /** Decodes one picture at a time. */
  slicing?: boolean;
  /** Stops the loading of the VAE. */
  signal?: AbortSignal;
}

/** Stages whose numbers are checked on the way, one after another. */
export interface StageCheck {
  stages: readonly string[];
  /** u32, for each how many of its numbers are not finite. */
  counts: Tensor;
}

/** Reads tensors after checking that no stage made a NaN or an infinity. */
export async function readChecked(device: Device, checks: readonly StageCheck[], tensor: Tensor) {
  const [result, ...counts] = await readAll(device, [tensor, ...checks.map(({ counts }) => counts)]);
  checks.forEach(({ stages }, i) => {
    const bad = counts[i].findIndex((count) => count > 0);
    if (bad >= 0) {
      throw new NumericError(
        `Cannot go on as ${stages[bad]} must be finite: ${counts[i][bad]} numbers are NaN or infinite`,
      );
    }
  });
  return result;
}

/** Pictures of pixels [B, height, width], packed RGBA8. */
export function imagesOf(pixels: Uint32Array, size: { height: number; width: number }): Image[] {
  const count = size.height * size.width;
  return Array.from({ length: pixels.length / count }, (_, i) => {
    const rgba = new Uint8Array(pixels.buffer, pixels.byteOffset + i * count * 4, count * 4);
    return new Image({ ...size, pixels: rgba });
  });
}

/**
 * Decodes latents to pictures.
 *
 * @param latents [B, 4, h, w] as the denoising left them.
 * @param checks Stages before this one that are checked in the same wait.
 * @throws {NumericError} naming the first stage with a NaN or an infinity.
 */
export async function decodeLatents(
  device: Device,
  vae: AutoencoderKL,
  latents: Tensor,
  { height, width, layout, tiling, slicing, signal }: DecodeOptions,
  checks: readonly StageCheck[] = [],
): Promise<Decoded> {
  await using _held = await vae.use({ signal });
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const { scalingFactor, shiftFactor } = vae.config;
  const [batch, , h, w] = latents.shape;
  const painted = { height: h * vae.scaleFactor, width: w * vae.scaleFactor };
  const wanted = { height: height ?? painted.height, width: width ?? painted.width };
  const cut = vae.cutFor(batch, painted.height, painted.width, { tiling, slicing });
  let image = vae.decode(rec, latents, { scale: 1 / scalingFactor, shift: shiftFactor, ...cut });
  const all = [...checks, { stages: ["the decoded image"], counts: countNonFinite(rec, image) }];
  if (wanted.height !== painted.height || wanted.width !== painted.width) {
    const plan = resizeAndCropPlan(painted.height, painted.width, wanted.height, wanted.width);
    image = rec.replace(image, (image) => resizeAndCrop(rec, image, { ...plan, ...wanted }));
  }
  const result = layout === "pixels" ? toPixels(rec, image) : toImage(rec, image, layout);
  rec.submit();
  const data = await readChecked(device, all, result);
  return layout === "pixels"
    ? { images: imagesOf(data as Uint32Array, wanted) }
    : { images: [], output: { data: data as Float32Array, shape: result.shape } };
}
