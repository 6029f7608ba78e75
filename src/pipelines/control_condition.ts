// What a ControlNet is shown: the latents of pictures. In: pictures. Out: latents that are the same in every run.

import type { Scope } from "../gpu/arena.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { samplePosterior } from "../ops/sample_posterior.ts";
import type { AutoencoderKL } from "../vae/autoencoder.ts";
import type { Tiling } from "../vae/tiling.ts";
import type { ControlPlan } from "./control_options.ts";
import { encodeMoments } from "./image_start.ts";
import type { BatchPart } from "./noise_source.ts";

/** What steers a run of denoising. */
export interface ControlPart extends Omit<ControlPlan, "images"> {
  /** [1 or B, C, h, w] latents of what the ControlNet is shown. */
  condition: Tensor;
}

/** What a run is steered by, and the run. */
export interface ControlStart {
  vae: AutoencoderKL;
  control: ControlPlan;
  part: BatchPart;
  /** Pictures of each prompt. */
  perPrompt: number;
  height: number;
  width: number;
  /** Encodes in tiles: the VAE's own when true, and where a picture does not fit the device. */
  tiling?: boolean | Tiling;
  signal?: AbortSignal;
}

/**
 * Encodes what a ControlNet is shown, to the likeliest latents: nothing is drawn, so that a seed gives the noise that it gives without.
 *
 * @returns Latents in the scope.
 */
export async function encodeCondition(
  device: Device,
  scope: Scope,
  { vae, control: { images, ...control }, part, perPrompt, ...size }: ControlStart,
): Promise<ControlPart> {
  const sources = images.length === 1
    ? [0]
    : Array.from({ length: part.count }, (_, i) => Math.floor((part.start + i) / perPrompt));
  using work = device.arena.scope();
  const moments = await encodeMoments(device, vae, work, images, sources, size);
  const [batch, h, w] = moments.shape;
  const shape = [batch, vae.config.latentChannels, h, w];
  const mean = new Recorder(device).within(work).upload(new Float32Array(shape.reduce((a, b) => a * b)), shape);
  const rec = new Recorder(device).within(scope);
  const { scalingFactor: scale, shiftFactor: shift } = vae.config;
  const condition = samplePosterior(rec, moments, mean, { scale, shift });
  rec.submit();
  return { ...control, condition };
}
