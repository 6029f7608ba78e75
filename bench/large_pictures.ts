// How much GPU memory pictures of any size take under WebGPU's default limits. In: networks of real extents or narrow ones, and the
// side of a picture. Out: the most bytes that the ledger counts beside weights. Work is recorded, which allocates all that it needs,
// and only then run where the caller wants to.

import { autoencoderTensors, transformerTensors } from "../src/checkpoints/random_tensors.ts";
import { RandomWeights } from "../src/checkpoints/random_weights.ts";
import { parseTransformerConfig } from "../src/dit/config.ts";
import { PixArtTransformer2DModel } from "../src/dit/transformer.ts";
import { Device } from "../src/gpu/device.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import type { Image } from "../src/io/image.ts";
import { PixArtSigmaPipeline } from "../src/pipelines/pixart_sigma_pipeline.ts";
import { schedulerFromConfig } from "../src/schedulers/registry.ts";
import { AutoencoderKL } from "../src/vae/autoencoder.ts";
import { parseAutoencoderConfig } from "../src/vae/config.ts";
import type { Tiling } from "../src/vae/tiling.ts";

/** What every WebGPU device grants. */
export const DEFAULT_LIMITS = { maxStorageBufferBindingSize: 128 << 20, maxBufferSize: 256 << 20 };

/** The extents of a random transformer. */
export interface RandomExtent {
  heads: number;
  headWidth: number;
  blocks: number;
  captionChannels: number;
  /** Whether every block compresses keys and values as the original's 4K recipe does: a convolution of 2 by 2. */
  compressed?: boolean;
}

/** A transformer with random weights in f16, trained for 4K as far as its positions go. */
export async function randomTransformer(device: Device, extent: RandomExtent): Promise<PixArtTransformer2DModel> {
  const layers = Array.from({ length: extent.blocks }, (_, i) => i);
  const config = parseTransformerConfig({
    num_attention_heads: extent.heads,
    attention_head_dim: extent.headWidth,
    num_layers: extent.blocks,
    caption_channels: extent.captionChannels,
    sample_size: 360, // 2880 pixels, the 4K table's base
    interpolation_scale: 4,
    kv_compress_config: extent.compressed
      ? { sampling: "conv", scale_factor: 2, kv_compress_layer: layers }
      : undefined,
  });
  using source = new RandomWeights("random", transformerTensors(config), 1, "F16");
  return await PixArtTransformer2DModel.fromWeights(device, config, source);
}

/** The most bytes at once, beside those that are there when `record` begins. */
export function recordedPeak(device: Device, record: (rec: Recorder) => Tensor): number {
  device.arena.trim();
  device.bindGroups.clear();
  const before = device.ledger.bytes;
  device.ledger.resetPeak();
  const rec = new Recorder(device);
  rec.flush = () => {};
  using _scope = rec.scope();
  record(rec);
  return device.ledger.peak - before;
}

/** One guided step on a picture of `side` tokens squared. */
export function step(model: PixArtTransformer2DModel, side: number, captionTokens: number, captions = 2) {
  return (rec: Recorder): Tensor => {
    const { inChannels, captionChannels, patchSize } = model.config;
    const edge = side * patchSize;
    const latents = rec.tensor([1, inChannels, edge, edge]);
    const caption = model.encodeCaption(rec, rec.tensor([captions, captionTokens, captionChannels]));
    return model.predict(rec, latents, caption, model.encodeTimes(rec, [500]), { row: 0, channels: inChannels });
  };
}

/** Decoding one picture of so many pixels a side; cut as the device wants it where tiles are not given. */
export function decoding(vae: AutoencoderKL, pixels: number, tiling?: Tiling) {
  return (rec: Recorder): Tensor => {
    const edge = pixels / vae.scaleFactor;
    const latents = rec.tensor([1, vae.config.latentChannels, edge, edge]);
    return vae.decode(rec, latents, vae.cutFor(1, pixels, pixels, { tiling }));
  };
}

/** A picture that narrow random networks painted. */
export interface NarrowPicture {
  image: Image;
  milliseconds: number;
  /** The most bytes at once, beside the weights. */
  peak: number;
  weights: number;
}

const NARROW = { heads: 2, headWidth: 32, blocks: 2, captionChannels: 16 };
/** What cuts the tokens of 4096 x 4096 pixels in two: what does not get narrower with the networks is hardly less. */
const NARROW_BINDING = 40 << 20;

/**
 * Paints a picture with networks of few channels.
 *
 * @param side Pixels, a multiple of 16.
 * @param options `binding` is how many bytes a binding holds.
 */
export async function paintNarrow(
  side: number,
  { compressed = false, binding = NARROW_BINDING }: {
    compressed?: boolean;
    binding?: number;
  } = {},
): Promise<NarrowPicture> {
  using device = await Device.open({ limits: { ...DEFAULT_LIMITS, maxStorageBufferBindingSize: binding } });
  using transformer = await randomTransformer(device, { ...NARROW, compressed });
  const config = parseAutoencoderConfig({
    block_out_channels: [8, 8, 16, 16],
    norm_num_groups: 4,
    layers_per_block: 1,
    sample_size: 1024,
    scaling_factor: 0.13025,
  });
  using source = new RandomWeights("random", autoencoderTensors(config), 2, "F16");
  using vae = await AutoencoderKL.fromWeights(device, config, source);
  const scheduler = schedulerFromConfig({}, "DPMSolverMultistepScheduler");
  const pipe = new PixArtSigmaPipeline({ transformer, vae, scheduler });
  const weights = device.ledger.bytes;
  device.ledger.resetPeak();
  const start = performance.now();
  const { images } = await pipe.generate(undefined, {
    promptEmbeds: { data: new Float32Array(8 * 16).map((_, i) => Math.sin(i)), shape: [1, 8, 16] },
    promptAttentionMask: new Float32Array(8).fill(1),
    guidanceScale: 1,
    numInferenceSteps: 1,
    useResolutionBinning: false,
    height: side,
    width: side,
    seed: 0,
  });
  return { image: images[0], milliseconds: performance.now() - start, peak: device.ledger.peak - weights, weights };
}
