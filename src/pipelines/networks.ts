// The networks of a pipeline, loaded from a folder in diffusers' layout. In: a folder, and how each is kept. Out: text encoder,
// transformer and VAE on a device, but for those that the caller has.

import type { Device } from "../gpu/device.ts";
import { floatDType } from "../ops/weight_kernels.ts";
import { PixArtTransformer2DModel } from "../dit/transformer.ts";
import { T5EncoderModel } from "../text/t5_encoder.ts";
import { AutoencoderKL } from "../vae/autoencoder.ts";
import type { Loading } from "./memory_limit.ts";

/** The networks of a pipeline. */
export interface Networks {
  transformer: PixArtTransformer2DModel;
  /** Not needed where only latents are asked for. */
  vae?: AutoencoderKL;
  /** Not needed where prompt embeddings are given. */
  textEncoder?: T5EncoderModel;
}

/** Networks that are made already; `null` leaves one out. */
export interface GivenNetworks {
  transformer?: PixArtTransformer2DModel;
  vae?: AutoencoderKL | null;
  textEncoder?: T5EncoderModel | null;
}

/** How far loading is. */
export interface LoadingInfo {
  component: string;
  /** Bytes of the checkpoint read so far, and in all. */
  loaded: number;
  total: number;
}

/** Takes over what is to be freed. */
export type Own = <T extends Disposable>(model: T) => T;

/** Where networks are loaded to. */
export interface NetworkTools {
  device: Device;
  own: Own;
  onProgress?: (info: LoadingInfo) => void;
  onWarning?: (text: string) => void;
  signal?: AbortSignal;
}

/** How one of them is loaded. */
export function networkOptions(
  component: string,
  offload: boolean | undefined,
  { device, signal, onProgress, onWarning }: NetworkTools,
) {
  return {
    device,
    offload,
    signal,
    onWarning,
    subfolder: component,
    onProgress: onProgress && ((loaded: number, total: number) => onProgress({ component, loaded, total })),
  };
}

/**
 * Loads networks one after another; what is given is taken as it is.
 *
 * @param folder In diffusers' layout.
 */
export async function loadNetworks(
  folder: string,
  { offload, textEncoderBudget, forms }: Loading,
  given: GivenNetworks,
  tools: NetworkTools,
): Promise<Networks> {
  const { own } = tools;
  const from = (component: string) => networkOptions(component, offload, tools);
  const textEncoder = given.textEncoder === null ? undefined : given.textEncoder ?? own(
    await T5EncoderModel.fromPretrained(folder, {
      ...from("text_encoder"),
      dtype: forms.textEncoder,
      weightBudget: textEncoderBudget,
    }),
  );
  const transformer = given.transformer ?? own(
    await PixArtTransformer2DModel.fromPretrained(folder, { ...from("transformer"), dtype: forms.transformer }),
  );
  const vae = given.vae === null ? undefined : given.vae ??
    own(await AutoencoderKL.fromPretrained(folder, { ...from("vae"), dtype: floatDType(forms.vae) }));
  return { textEncoder, transformer, vae };
}
