// What a LoRA's configuration says of its scaling. In: PEFT's adapter_config.json, or the like beside or inside a file.
// Out: alpha and rank of each module; refusals of what would need other arithmetic.
import { ConfigError } from "../errors.ts";
import { isRecord } from "./strict_json.ts";

/** The alpha that PEFT means where none is given. */
export const DEFAULT_ALPHA = 8;

/** A parsed configuration. */
export interface LoraConfig {
  /** The file, for messages. */
  source: string;
  alpha: number;
  /** Not given where a file only tells its alpha. */
  rank?: number;
  /** Rank-stabilised: the scaling is alpha / sqrt(rank) in place of alpha / rank. */
  useRslora: boolean;
  alphaOf: ReadonlyMap<string, number>;
  rankOf: ReadonlyMap<string, number>;
}

/** The configuration of a file that has none. */
export const NO_CONFIG: LoraConfig = {
  source: "",
  alpha: DEFAULT_ALPHA,
  useRslora: false,
  alphaOf: new Map(),
  rankOf: new Map(),
};

// Kinds of LoRA whose forward pass is another one, or whose base weights are not the checkpoint's.
const REFUSED = [
  ...["fan_in_fan_out", "lora_bias", "use_qalora", "use_bdlora", "arrow_config", "alora_invocation_tokens"],
  ...["target_parameters", "trainable_token_indices", "layer_replication", "modules_to_save"],
];
const CHANGES_BASE = /^(pissa|olora|corda|loftq|lora_ga)/i;

const isSet = (value: unknown) => !!value && !(Array.isArray(value) && value.length === 0);

/** Whether a JSON document is a LoRA's configuration; a file's neighbour of the same name may be anything. */
export function isLoraConfig(json: unknown): boolean {
  return isRecord(json) && ["lora_alpha", "alpha", "r"].some((key) => typeof json[key] === "number");
}

/**
 * Parses a LoRA's configuration.
 *
 * @param json With PEFT's keys: `r`, `lora_alpha`, `use_rslora`, `rank_pattern`, `alpha_pattern`; modules are told by the
 * tensors and not by `target_modules`.
 * @param source What messages call it.
 * @throws {ConfigError} naming the key whose value cannot be honoured.
 * @example
 * ```ts
 * import { parseLoraConfig } from "./lora_config.ts";
 * console.assert(parseLoraConfig({ r: 4, lora_alpha: 16 }, "example").alpha === 16);
 * ```
 */
export function parseLoraConfig(json: unknown, source: string): LoraConfig {
  if (!isRecord(json)) throw new ConfigError(`Cannot read ${source} as a LoRA's configuration: it is not an object`);
  const refuse = (key: string, rule: string): never => {
    const given = (JSON.stringify(json[key]) ?? "undefined").slice(0, 80);
    throw new ConfigError(`Cannot use the LoRA of ${source} as ${key} must be ${rule}: ${given}`);
  };
  const number = (key: string, least: number): number | undefined => {
    const value = json[key];
    if (value === undefined || value === null) return undefined;
    return typeof value === "number" && Number.isFinite(value) && value >= least
      ? value
      : refuse(key, `a number from ${least} on`);
  };
  if (json.peft_type !== undefined && json.peft_type !== "LORA") refuse("peft_type", '"LORA"');
  if (json.bias !== undefined && json.bias !== "none") refuse("bias", '"none"');
  for (const key of REFUSED) if (isSet(json[key])) refuse(key, "off");
  if (typeof json.init_lora_weights === "string" && CHANGES_BASE.test(json.init_lora_weights)) {
    refuse("init_lora_weights", "one that leaves the model's own weights alone");
  }
  const pattern = (key: string): Map<string, number> => {
    const value = json[key] ?? {};
    if (!isRecord(value)) refuse(key, "an object of numbers");
    return new Map(
      Object.entries(value as Record<string, unknown>).map(([name, entry]) => {
        if (typeof entry !== "number" || !Number.isFinite(entry)) refuse(key, "an object of numbers");
        // PEFT takes them for regular expressions; a stranger's may run for ever, and none but plain names were seen.
        if (/[*+?()[\]{}|$]/.test(name)) refuse(key, "an object with plain names of modules");
        return [name.replaceAll("\\.", "."), entry as number];
      }),
    );
  };
  return {
    source,
    alpha: number("lora_alpha", -Infinity) ?? number("alpha", -Infinity) ?? DEFAULT_ALPHA,
    rank: number("r", 1),
    useRslora: json.use_rslora === true,
    alphaOf: pattern("alpha_pattern"),
    rankOf: pattern("rank_pattern"),
  };
}

/** The entry of a pattern for a module: its whole name, or the end of it from a dot on; `^` pins the beginning. */
export function lookUpPattern(pattern: ReadonlyMap<string, number>, module: string): number | undefined {
  for (const [key, value] of pattern) {
    if (key.startsWith("^") ? module === key.slice(1) : module === key || module.endsWith(`.${key}`)) return value;
  }
  return undefined;
}

/**
 * The configuration that diffusers writes into a safetensors file's metadata, `lora_adapter_metadata`.
 *
 * @returns Nothing when there is none for the transformer.
 * @throws {ConfigError} when it is not JSON, or says what cannot be honoured.
 */
export function configOfMetadata(metadata: Readonly<Record<string, string>>, source: string): LoraConfig | undefined {
  const text = metadata.lora_adapter_metadata;
  if (text === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new ConfigError(`Cannot read lora_adapter_metadata of ${source} as JSON: ${(error as Error).message}`);
  }
  if (!isRecord(json)) return undefined;
  const own: [string, unknown][] = [];
  for (const [key, value] of Object.entries(json)) {
    const prefix = /^(?:transformer|unet)\./.exec(key)?.[0];
    if (prefix || !key.includes(".")) own.push([key.slice(prefix?.length ?? 0), value]);
  }
  const config = Object.fromEntries(own);
  return isLoraConfig(config) ? parseLoraConfig(config, `lora_adapter_metadata of ${source}`) : undefined;
}
