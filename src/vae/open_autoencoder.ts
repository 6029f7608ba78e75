// An autoencoder's checkpoint in any layout: diffusers' folder with safetensors or `.bin`, today's names or those of before, a single
// file of latent diffusion. In: a path or URL. Out: its config, and its weights under diffusers' names.

import { asPlainFloats } from "../io/cast_weights.ts";
import { type ModelFilesOptions, type ModelFilesRule, openModelFiles } from "../io/model_files.ts";
import { mapVaeNames } from "../io/vae_names.ts";
import type { WeightSource } from "../io/weights.ts";
import { type AutoencoderConfig, parseAutoencoderConfig } from "./config.ts";
import { type AutoencoderHints, guessAutoencoderConfigJson } from "./guess_config.ts";

const RULE: ModelFilesRule = {
  component: "vae",
  stem: "diffusion_pytorch_model",
  isOwn: (config) => config._class_name === "AutoencoderKL",
};

/** How to find the files, and what the user knows of an autoencoder whose config is missing. */
export type OpenAutoencoderOptions = ModelFilesOptions & AutoencoderHints;

/** An open checkpoint. */
export interface OpenAutoencoder {
  config: AutoencoderConfig;
  /** The config as diffusers reads it. */
  json: Record<string, unknown>;
  /** Under diffusers' names; whoever opened it disposes it. */
  source: WeightSource;
  /** Whether the config was read, or guessed from the tensors. */
  isGuessed: boolean;
}

/**
 * Opens an autoencoder's checkpoint. Only headers are read.
 *
 * @param address A folder, a pipeline's folder, or a file.
 * @throws {WeightsError} when there are no weights, or they are broken.
 * @throws {ConfigError} when the config has a value that this network does not have, or is missing and cannot be guessed.
 */
export async function openAutoencoder(address: string, options: OpenAutoencoderOptions = {}): Promise<OpenAutoencoder> {
  const { source: stored, config: found } = await openModelFiles(address, RULE, options);
  try {
    const source = asPlainFloats(mapVaeNames(stored));
    const json = found ?? guessAutoencoderConfigJson(source, options);
    return { config: parseAutoencoderConfig(json), json, source, isGuessed: found === undefined };
  } catch (error) {
    stored[Symbol.dispose]();
    throw error;
  }
}
