// The golden network with inputs of its size, on the GPU and as numbers for the naive one.

import { type EncodedCaption, PixArtTransformer2DModel, type PredictOptions } from "../../src/dit/transformer.ts";
import type { Control } from "../../src/dit/controlnet.ts";
import type { Recorder } from "../../src/gpu/recorder.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { device, run } from "../_device.ts";
import { numbers } from "../_reference.ts";
import { golden } from "../_weights.ts";
import { type NaiveSample, naiveTransformer, readAllFloats } from "./_naive_transformer.ts";

export const SIZE = { height: 6, width: 10 };
const TOKENS = 5;

/** The network in f32. */
export const base = await PixArtTransformer2DModel.fromPretrained(golden("dit-sigma"), { device, dtype: "f32" });

/** Its weights. */
export async function baseWeights(): Promise<Map<string, Float32Array>> {
  using source = await openSafetensors(golden("dit-sigma/diffusion_pytorch_model.safetensors"));
  return await readAllFloats(source);
}

const { inChannels, captionChannels } = base.config;
const area = SIZE.height * SIZE.width;
const TIMESTEP = 537;

/** [inChannels, h, w] latents of a sample. */
export const latentsOf = (sample: number): Float32Array => numbers(inChannels * area, 31 + sample, 1.5);
const captionOf = (caption: number) => numbers(TOKENS * captionChannels, 57 + caption, 2);
const maskOf = (caption: number) => Float32Array.from({ length: TOKENS }, (_, i) => i < 3 + caption % 3 ? 1 : 0);

/**
 * The network's prediction for samples that are asked with captions, the batch as a guided run has it: all samples of the first caption,
 * then of the next.
 *
 * @param captions The seed of each caption; the captions of all samples are the same.
 */
export async function predict(
  samples: number,
  captions: readonly number[],
  options: Omit<PredictOptions, "control"> & { control?: (rec: Recorder) => Control } = {},
): Promise<Float32Array> {
  return await run((rec) => {
    const join = (parts: Float32Array[]) => Float32Array.from(parts.flatMap((part) => [...part]));
    const each = captions.flatMap((caption) => Array<number>(samples).fill(caption));
    const embeds = rec.upload(join(each.map(captionOf)), [each.length, TOKENS, captionChannels]);
    const latents = Array.from({ length: samples }, (_, i) => latentsOf(i));
    const x = rec.upload(join(latents), [samples, inChannels, SIZE.height, SIZE.width]);
    const control = options.control?.(rec);
    const caption: EncodedCaption = base.encodeCaption(rec, embeds, join(each.map(maskOf)), control?.net.blocks);
    const times = base.encodeTimes(rec, [TIMESTEP], undefined, control?.net.blocks);
    return base.predict(rec, x, caption, times, { row: 0, ...options, control });
  });
}

/** What the definition says of one sample and caption. */
export function expected(
  weights: Map<string, Float32Array>,
  sample: number,
  caption: number,
  more: Pick<NaiveSample, "perturbed" | "control"> = {},
): Float64Array {
  return naiveTransformer(weights, base.config, {
    latents: latentsOf(sample),
    ...SIZE,
    caption: captionOf(caption),
    mask: maskOf(caption),
    timestep: TIMESTEP,
    ...more,
  });
}
