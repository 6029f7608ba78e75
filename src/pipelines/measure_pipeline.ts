// What the networks of a pipeline's folder take on the GPU, in every form that they may be loaded in. In: a folder and what is asked
// for. Out: their configs and bytes; only headers are read.

import type { Device } from "../gpu/device.ts";
import { PixArtControlNetAdapterModel } from "../dit/controlnet.ts";
import type { TransformerConfig } from "../dit/config.ts";
import { PixArtTransformer2DModel } from "../dit/transformer.ts";
import type { ResidentModel } from "../layers/resident_model.ts";
import { floatDType, isFloatDType, WEIGHT_DTYPES, type WeightDType } from "../ops/weight_kernels.ts";
import { T5EncoderModel } from "../text/t5_encoder.ts";
import { AutoencoderKL } from "../vae/autoencoder.ts";
import type { ModelForms, PipelineForms, WeightForm } from "./memory_stages.ts";

/** What is asked for; `null` leaves a network out. */
export interface MeasureOptions {
  dtype?: WeightDType;
  /** Forms that must not be changed. */
  quantize?: { textEncoder?: WeightDType; transformer?: WeightDType };
  /** Networks that are made already. */
  transformer?: PixArtTransformer2DModel;
  textEncoder?: T5EncoderModel | null;
  vae?: AutoencoderKL | null;
  controlnet?: PixArtControlNetAdapterModel | string;
  signal?: AbortSignal;
}

/** The forms of weights that may be tried, the best first; the first is the one that is asked for. */
function formsFrom(asked: WeightDType | undefined): (WeightDType | undefined)[] {
  return asked === undefined ? [undefined, "int8", "int4"] : WEIGHT_DTYPES.slice(WEIGHT_DTYPES.indexOf(asked));
}

/** Measures a network in several forms; those that save nothing are left out. */
async function measure<Config>(
  forms: readonly (WeightDType | undefined)[],
  open: (dtype: WeightDType | undefined) => Promise<ResidentModel & { config: Config }>,
): Promise<ModelForms<Config>> {
  const measured: WeightForm[] = [];
  let config: Config | undefined;
  for (const asked of forms) {
    using model = await open(asked);
    config ??= model.config;
    const form = { ...model.weightSizes, asked };
    if (measured.length === 0 || form.bytes < measured[measured.length - 1].bytes) measured.push(form);
  }
  return { config: config!, forms: measured };
}

/** The one form of a network that is made already; what it has on the GPU is counted there. */
function made<Config>({ config, isLoaded, weightSizes }: ResidentModel & { config: Config }): ModelForms<Config> {
  const { dtype } = weightSizes;
  return { config, forms: [isLoaded ? { dtype, bytes: 0, staging: 0 } : weightSizes] };
}

/** What a ControlNet takes, made already or not. */
async function steering(
  device: Device,
  config: TransformerConfig,
  { dtype, signal, controlnet: given }: MeasureOptions,
  path: string | undefined,
): Promise<PipelineForms["controlnet"]> {
  if (typeof given === "object") return { ...made(given).forms[0], copies: given.blocks.length };
  if (path === undefined) return undefined;
  const options = { device, config, dtype: floatDType(dtype), offload: true, signal };
  using model = await PixArtControlNetAdapterModel.fromPretrained(path, options);
  return { ...model.weightSizes, copies: model.blocks.length };
}

/**
 * Measures the networks of a pipeline.
 *
 * @param has Whether the folder has a component.
 * @param controlnet Where its ControlNet lies, where it has one that is not made yet.
 */
export async function measurePipeline(
  folder: string,
  device: Device,
  has: (component: string) => boolean,
  options: MeasureOptions,
  controlnet: string | undefined,
): Promise<PipelineForms> {
  const { dtype, quantize = {}, signal } = options;
  const from = (subfolder: string) => ({ device, subfolder, signal, offload: true });
  const formsOf = (fixed: WeightDType | undefined) => fixed ? [fixed] : formsFrom(dtype);
  const transformer = options.transformer ? made(options.transformer) : await measure(
    formsOf(quantize.transformer),
    (dtype) => PixArtTransformer2DModel.fromPretrained(folder, { ...from("transformer"), dtype }),
  );
  const textEncoder = options.textEncoder === null || !has("text_encoder")
    ? undefined
    : options.textEncoder
    ? made(options.textEncoder)
    : await measure(
      formsOf(quantize.textEncoder),
      (dtype) => T5EncoderModel.fromPretrained(folder, { ...from("text_encoder"), dtype }),
    );
  const vae = options.vae === null || !has("vae") ? undefined : options.vae ? made(options.vae) : await measure(
    formsFrom(floatDType(dtype)).filter((form) => form && isFloatDType(form)),
    (dtype) => AutoencoderKL.fromPretrained(folder, { ...from("vae"), dtype: floatDType(dtype) }),
  );
  return {
    transformer,
    textEncoder,
    vae,
    controlnet: await steering(device, transformer.config, options, controlnet),
    inUse: device.ledger.bytes,
    limits: device.limits,
  };
}
