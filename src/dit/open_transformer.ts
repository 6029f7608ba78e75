// A transformer's checkpoint in any layout: diffusers' folder, the original's `.pth`, a single file in either naming, GGUF. In: a path
// or URL. Out: its config, and its weights under diffusers' names in dtypes that networks are loaded from.

import { withoutDoubles } from "../io/cast_weights.ts";
import { type ModelFilesOptions, type ModelFilesRule, openModelFiles } from "../io/model_files.ts";
import { asDiffusers, isOriginal } from "../io/original_names.ts";
import type { WeightSource } from "../io/weights.ts";
import { withoutPrefix } from "../io/weight_prefix.ts";
import { parseOriginalConfig, parseTransformerConfig, type TransformerConfig } from "./config.ts";
import { guessTransformerConfig, type TransformerHints } from "./guess_config.ts";

/** Names that every PixArt transformer has: the original's, then diffusers'. */
export const TRANSFORMER_ANCHORS: readonly string[] = ["x_embedder.proj.weight", "pos_embed.proj.weight"];

const RULE: ModelFilesRule = {
  component: "transformer",
  stem: "diffusion_pytorch_model",
  isOwn: (config) =>
    isOriginalConfig(config) ||
    config._class_name === "PixArtTransformer2DModel" || config._class_name === "Transformer2DModel",
};

/** Whether a config has the arguments of the original repository's networks. */
export function isOriginalConfig(config: Record<string, unknown>): boolean {
  return config.class === "PixArtMS" || config.class === "PixArt";
}

/** How to find the files, and what the user knows of a network whose config is missing. */
export type OpenTransformerOptions = ModelFilesOptions & TransformerHints;

/** An open checkpoint. */
export interface OpenTransformer {
  config: TransformerConfig;
  /** Under diffusers' names; whoever opened it disposes it. */
  source: WeightSource;
  /** Whose names the file has. */
  naming: "diffusers" | "original";
  /** Whether the config was read, or guessed from the tensors. */
  isGuessed: boolean;
}

/**
 * Opens a transformer's checkpoint. Only headers are read.
 *
 * @param address A folder, a pipeline's folder, or a file.
 * @throws {WeightsError} when there are no weights, or they are broken.
 * @throws {ConfigError} when the config has a value that this network does not have, or is missing and cannot be guessed; the
 * message names the option that says what is unknown.
 * @example
 * ```ts
 * import { openTransformer } from "./open_transformer.ts";
 * const { config, source } = await openTransformer("tests/golden/dit-sigma");
 * console.assert(config.numLayers === 3 && source.has("proj_out.weight"));
 * source[Symbol.dispose]();
 * ```
 */
export async function openTransformer(address: string, options: OpenTransformerOptions = {}): Promise<OpenTransformer> {
  const { source: stored, config: json } = await openModelFiles(address, RULE, options);
  try {
    const bare = withoutPrefix(stored, TRANSFORMER_ANCHORS);
    const original = isOriginal(bare);
    const config = json === undefined
      ? await guessTransformerConfig(bare, options)
      : isOriginalConfig(json)
      ? parseOriginalConfig(json)
      : parseTransformerConfig(json);
    const source = withoutDoubles(original ? asDiffusers(bare) : bare);
    return { config, source, naming: original ? "original" : "diffusers", isGuessed: json === undefined };
  } catch (error) {
    stored[Symbol.dispose]();
    throw error;
  }
}
