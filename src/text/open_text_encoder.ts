// A T5 encoder's checkpoint in any layout: transformers' folder with safetensors or `.bin`, whole or in shards, a single file that may
// hold more than the encoder, GGUF. In: a path or URL. Out: its config, and its weights under transformers' names.

import { withoutDoubles } from "../io/cast_weights.ts";
import { type ModelFilesOptions, type ModelFilesRule, openModelFiles } from "../io/model_files.ts";
import { mapT5Names } from "../io/t5_names.ts";
import type { WeightSource } from "../io/weights.ts";
import { guessT5ConfigJson } from "./guess_t5_config.ts";
import { parseT5Config, type T5Config } from "./t5_config.ts";

const RULE: ModelFilesRule = {
  component: "text_encoder",
  stem: "model",
  isOwn: (config) => config.model_type === "t5",
};

/** What a config must say, unless the tensors do. */
const NEEDED = ["vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads"];

/** An open checkpoint. */
export interface OpenTextEncoder {
  config: T5Config;
  /** The config as transformers reads it: the one that was found, with what it lacks. */
  json: Record<string, unknown>;
  /** Under transformers' names; whoever opened it disposes it. */
  source: WeightSource;
  /** Whether the config was read, or guessed from the tensors. */
  isGuessed: boolean;
}

/**
 * Opens a T5 encoder's checkpoint. Only headers are read.
 *
 * @param address A folder, a pipeline's folder, or a file.
 * @throws {WeightsError} when there are no weights, or they are broken.
 * @throws {ConfigError} when the config has a value that this network does not have.
 */
export async function openTextEncoder(address: string, options: ModelFilesOptions = {}): Promise<OpenTextEncoder> {
  const { source: stored, config } = await openModelFiles(address, RULE, options);
  try {
    const source = withoutDoubles(mapT5Names(stored));
    const isWhole = config !== undefined && NEEDED.every((key) => config[key] !== undefined);
    const json = isWhole ? config : { ...guessT5ConfigJson(source), ...config };
    return { config: parseT5Config(json), json, source, isGuessed: config === undefined };
  } catch (error) {
    stored[Symbol.dispose]();
    throw error;
  }
}
