// How much GPU memory a run takes at most, stage by stage. In: what weights take, which of them stay, and how pictures are painted.
// Out: bytes. Pure numbers: nothing is loaded to know them.

import type { TransformerConfig } from "../dit/config.ts";
import type { MemoryLimits } from "../gpu/device.ts";
import type { WeightSizes } from "../layers/resident_model.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import type { T5Config } from "../text/t5_config.ts";
import { type AutoencoderConfig, scaleFactorOf } from "../vae/config.ts";
import type { ImageCut } from "../vae/cutting.ts";
import {
  decodingPhases,
  denoisingBuffers,
  embeddingBuffers,
  encodingBuffers,
  type PictureExtent,
  pooledBytes,
} from "./activation_bytes.ts";

/** A form that weights may take. */
export interface WeightForm extends WeightSizes {
  /** What it is asked for as; nothing for blocks as they are stored and all else in f16. */
  asked?: WeightDType;
}

/** A network and the forms that its weights may take, the best first. */
export interface ModelForms<Config> {
  config: Config;
  forms: readonly WeightForm[];
}

/** The networks of a pipeline, and where they run. */
export interface PipelineForms {
  textEncoder?: ModelForms<T5Config>;
  transformer: ModelForms<TransformerConfig>;
  vae?: ModelForms<AutoencoderConfig>;
  /** What is there with the transformer. */
  controlnet?: WeightSizes & { copies: number };
  /** Tokens of the longest prompt that the tokenizer makes. */
  mostTokens?: number;
  /** Bytes that are on the GPU anyway. */
  inUse: number;
  limits: MemoryLimits;
}

/** What is on the GPU, and for how long. */
export interface Residence {
  /** Which form each network has. */
  textEncoder: number;
  transformer: number;
  /** Whether a network is there only while it works. */
  offload: boolean;
  /** Whether the text encoder's blocks are read one after another. */
  streams: boolean;
}

/** How a run is painted. */
export interface Painting extends PictureExtent {
  /** Whether it starts from pictures. */
  fromImages: boolean;
  /** Whether it ends with latents, which are not decoded. */
  isLatent?: boolean;
}

/** Latent pixels are this many pixels a side where there is no VAE to ask. */
export const SCALE_FACTOR = 8;

/** Pieces of the checkpoint that are there at once: with LoRAs in f32, too, and with what they are made of. */
const ON_THE_WAY = 3;

const NOTHING: WeightForm = { dtype: "f16", bytes: 0, staging: 0 };

/** The weights of each network in the form that it has. The VAE's are of the last form where the transformer's are of a lesser one. */
export function weightsOf(pipeline: PipelineForms, { textEncoder, transformer }: Residence) {
  return {
    text: pipeline.textEncoder?.forms[textEncoder] ?? NOTHING,
    transformer: pipeline.transformer.forms[transformer],
    vae: pipeline.vae?.forms.at(transformer === 0 ? 0 : -1) ?? NOTHING,
  };
}

/** The weights of two networks that are there at once. */
function together(one: WeightSizes, other: WeightSizes = NOTHING): WeightSizes {
  return { ...one, bytes: one.bytes + other.bytes, staging: Math.max(one.staging, other.staging) };
}

/** What a run takes. */
export interface RunBytes {
  /** The most bytes at once. */
  peak: number;
  /** Bytes for the text encoder's weights, where they are streamed. */
  textEncoderBudget?: number;
}

/**
 * What a run takes at most.
 *
 * @param limit Bytes that may be taken; a streamed text encoder has two blocks there rather than one where they leave room.
 */
export function runBytes(
  pipeline: PipelineForms,
  residence: Residence,
  painting: Painting,
  cut: ImageCut | undefined,
  limit: number,
): RunBytes {
  const { offload, streams } = residence;
  const { text, transformer: own, vae } = weightsOf(pipeline, residence);
  const transformer = together(own, pipeline.controlnet);
  const embeddings = embeddingBuffers(pipeline.transformer.config.captionChannels, painting);
  const encoding = pipeline.textEncoder && painting.texts > 0
    ? [encodingBuffers(pipeline.textEncoder.config, pipeline.limits, painting)]
    : [];
  const scaleFactor = pipeline.vae ? scaleFactorOf(pipeline.vae.config) : SCALE_FACTOR;
  const steered = { ...painting, copies: painting.fromImages ? pipeline.controlnet?.copies : 0 };
  const denoising = [denoisingBuffers(pipeline.transformer.config, pipeline.limits, scaleFactor, steered)];
  const images = pipeline.vae && cut
    ? decodingPhases(pipeline.vae.config, painting, cut).map((buffers) => [...buffers, ...embeddings])
    : [];
  const start = painting.fromImages ? images : [];
  const decoding = painting.isLatent ? [] : images;

  const { block, rest } = text.streamed ?? { block: text.bytes, rest: 0 };
  const beside = offload ? 0 : transformer.bytes + vae.bytes;
  // What the text encoder's weights take while it works: one block and a piece of the file, or two where there is room.
  const room = limit - pipeline.inUse - beside - pooledBytes(encoding);
  const one = rest + block + text.staging, two = Math.min(one + block, text.bytes + text.staging - 1);
  const budget = streams ? Math.max(one, Math.min(two, Math.floor(room))) : undefined;
  const isUsed = !offload || painting.texts > 0;
  const encodes = isUsed ? beside + (budget ?? text.bytes) + pooledBytes(encoding) : 0;
  const staying = offload ? 0 : (streams ? rest : text.bytes) + beside;
  const loads = [streams || !isUsed ? NOTHING : text, transformer, vae];
  const stages = offload
    ? [
      ...loads.map(({ bytes, staging }) => bytes + ON_THE_WAY * staging + pooledBytes([embeddings])),
      vae.bytes + pooledBytes(start),
      transformer.bytes + pooledBytes(denoising),
      vae.bytes + pooledBytes(decoding),
    ]
    : [
      staying + ON_THE_WAY * Math.max(...loads.map(({ staging }) => staging)),
      // Nothing is given back between the stages.
      staying + pooledBytes([...encoding, ...start, ...denoising, ...decoding]),
    ];
  return { peak: pipeline.inUse + Math.max(encodes, ...stages), textEncoderBudget: budget };
}
