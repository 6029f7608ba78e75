// The small JSON files beside a vocabulary. In: a folder with some of `tokenizer_config.json`, `special_tokens_map.json` and
// `added_tokens.json`. Out: the special tokens by name, the added tokens by text, and the longest sequence.
import { exists, joinPath, readJson } from "../io/byte_source.ts";
import { ConfigError } from "../errors.ts";

/** What the files beside a vocabulary say. */
export interface TokenizerConfig {
  /** The texts of the special tokens, by name. */
  special: { pad: string; eos: string; unk: string };
  /** Tokens with ids of their own, from `added_tokens_decoder` and `added_tokens.json`. */
  added: Map<string, number>;
  /** Further tokens that text may spell, without a stated id. */
  additional: string[];
  /** How many `<extra_id_N>` follow the vocabulary. */
  extraIds: number | undefined;
  /** The longest sequence, Infinity when none is stated. */
  modelMaxLength: number;
}

type Json = Record<string, unknown>;

// More than any vocabulary has; a count above it is a broken file, not a wish.
const MOST_IDS = 1 << 24;
const MOST_EXTRA_IDS = 1 << 16;

/**
 * Reads the configuration of a tokenizer; files that are not there are passed over.
 *
 * @throws {ConfigError} that names the file and the key that cannot be honoured.
 */
export async function readTokenizerConfig(folder: string): Promise<TokenizerConfig> {
  const config: TokenizerConfig = {
    special: { pad: "<pad>", eos: "</s>", unk: "<unk>" },
    added: new Map(),
    additional: [],
    extraIds: undefined,
    modelMaxLength: Infinity,
  };
  await withJson(folder, "tokenizer_config.json", (json, name) => {
    readSpecial(json, config, name);
    config.extraIds = optionalCount(json.extra_ids, "extra_ids", name);
    const longest = json.model_max_length;
    if (longest !== undefined && longest !== null) {
      if (typeof longest !== "number" || !(longest >= 1)) throw wrong(name, "model_max_length", "a length", longest);
      // Transformers writes 1e30 for "no limit".
      config.modelMaxLength = longest > MOST_IDS ? Infinity : Math.floor(longest);
    }
    for (const [key, token] of Object.entries(objectOrEmpty(json.added_tokens_decoder, "added_tokens_decoder", name))) {
      config.added.set(tokenText(token, `added_tokens_decoder.${key}`, name), idOf(Number(key), key, name));
    }
  });
  await withJson(folder, "special_tokens_map.json", (json, name) => readSpecial(json, config, name));
  await withJson(folder, "added_tokens.json", (json, name) => {
    for (const [text, id] of Object.entries(json)) config.added.set(text, idOf(id, text, name));
  });
  return config;
}

function readSpecial(json: Json, config: TokenizerConfig, name: string): void {
  for (const role of ["pad", "eos", "unk"] as const) {
    const token = json[`${role}_token`];
    if (token !== undefined && token !== null) config.special[role] = tokenText(token, `${role}_token`, name);
  }
  // Transformers 5 renamed the list.
  for (const key of ["additional_special_tokens", "extra_special_tokens"]) {
    const list = json[key];
    if (Array.isArray(list)) config.additional.push(...list.map((token, i) => tokenText(token, `${key}[${i}]`, name)));
  }
}

/** A token is its text, or an object with the text as `content`. */
function tokenText(token: unknown, key: string, name: string): string {
  const text = typeof token === "object" && token !== null ? (token as Json).content : token;
  if (typeof text !== "string" || text === "") throw wrong(name, key, "the text of a token", token);
  return text;
}

function optionalCount(value: unknown, key: string, name: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (idOf(value, key, name) > MOST_EXTRA_IDS) throw wrong(name, key, `at most ${MOST_EXTRA_IDS}`, value);
  return value as number;
}

function idOf(value: unknown, key: string, name: string): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) < MOST_IDS) return value as number;
  throw wrong(name, key, "a whole number from 0 on", value);
}

function objectOrEmpty(value: unknown, key: string, name: string): Json {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw wrong(name, key, "an object", value);
  return value as Json;
}

async function withJson(folder: string, file: string, use: (json: Json, name: string) => void): Promise<void> {
  const name = joinPath(folder, file);
  if (!await exists(name)) return;
  const json = await readJson(name);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new ConfigError(`Cannot read ${name} as a tokenizer's configuration: it is not an object`);
  }
  use(json as Json, name);
}

function wrong(name: string, key: string, rule: string, value: unknown): ConfigError {
  return new ConfigError(`Cannot read ${key} of ${name} as ${rule}: ${String(JSON.stringify(value)).slice(0, 100)}`);
}
