// Finds what a folder of reference numbers is about. In: a folder. Out: the kind of its component and the component's name.

import { ConfigError } from "../errors.ts";
import { exists, joinPath, readJson } from "../io/byte_source.ts";
import { openSafetensors } from "../io/safetensors.ts";

/** What can be verified. */
export type ComponentKind =
  | "transformer"
  | "original transformer"
  | "adapters"
  | "autoencoder"
  | "text encoder"
  | "schedulers"
  | "original samplers"
  | "generator"
  | "tokenizer"
  | "captions"
  | "pipeline";

/** A folder's component. */
export interface Component {
  kind: ComponentKind;
  /** What reports call it: a class name where it has one. */
  name: string;
}

/** Names of draws, as `randn.seed0.1x4x8x8` and `randperm50.seed0`. */
export const DRAW = /^(randn2?|rand|randint\d+|randperm\d+)\.seed/;

const BY_CLASS: Record<string, Component> = {
  PixArtTransformer2DModel: { kind: "transformer", name: "PixArtTransformer2DModel" },
  // The class under which early checkpoints of the same network were written.
  Transformer2DModel: { kind: "transformer", name: "PixArtTransformer2DModel" },
  AutoencoderKL: { kind: "autoencoder", name: "AutoencoderKL" },
  T5EncoderModel: { kind: "text encoder", name: "T5EncoderModel" },
};

const PIPELINES = ["PixArtSigmaPipeline", "PixArtAlphaPipeline"];

const LOOKED_FOR =
  "config.json with a known _class_name, architectures or model_type; t5.json with spiece.model or tokenizer.json; " +
  "captions.json; index.json of schedulers, samplers or a pipeline's cases; io.safetensors with random draws or outputs of adapters";

type Json = Record<string, unknown>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unknown(folder: string, state: string): never {
  throw new ConfigError(`Cannot verify ${folder} as it must be a component that is known: ${state}`);
}

function ofConfig(folder: string, config: unknown): Component {
  if (!isObject(config)) unknown(folder, "its config.json is not an object");
  const { _class_name: diffusers, architectures, model_type: type, class: original } = config;
  if (original === "PixArtMS" || original === "PixArt") return { kind: "original transformer", name: original };
  // A whole T5 is written under other names; its encoder is the same.
  const names = [diffusers, ...(Array.isArray(architectures) ? architectures : []), type === "t5" && "T5EncoderModel"];
  for (const name of names) {
    if (typeof name === "string" && Object.hasOwn(BY_CLASS, name)) return BY_CLASS[name];
  }
  const given = JSON.stringify({ _class_name: diffusers, architectures, model_type: type });
  unknown(folder, `its config.json says ${given}, known are ${Object.keys(BY_CLASS).join(", ")}`);
}

async function ofIndex(folder: string, index: unknown): Promise<Component | undefined> {
  if (!isObject(index)) return undefined;
  if (typeof index.checkpoint === "string" && "cases" in index) return await ofCheckpoint(folder, index.checkpoint);
  if ("dpms" in index || "iddpm" in index || "cfg_scale" in index) {
    return { kind: "original samplers", name: "original samplers" };
  }
  const entries = Object.values(index);
  const isEntry = (entry: unknown) => isObject(entry) && typeof entry.scheduler === "string";
  if (entries.length === 0 || !entries.every(isEntry)) return undefined;
  const classes = [...new Set(entries.map((entry) => (entry as Json).scheduler as string))];
  return { kind: "schedulers", name: classes.length === 1 ? classes[0] : "schedulers" };
}

/** What the checkpoint of recorded calls says that it is. */
async function ofCheckpoint(folder: string, checkpoint: string): Promise<Component> {
  const index = await readJson(joinPath(folder, checkpoint, "model_index.json"));
  const name = isObject(index) ? index._class_name : undefined;
  if (typeof name === "string" && PIPELINES.includes(name)) return { kind: "pipeline", name };
  unknown(folder, `its checkpoint says _class_name ${JSON.stringify(name)}, known are ${PIPELINES.join(", ")}`);
}

async function ofTensors(file: string): Promise<Component | undefined> {
  using source = await openSafetensors(file);
  const names = source.names();
  if (names.some((name) => DRAW.test(name))) return { kind: "generator", name: "Generator" };
  if (names.some((name) => /^out\.(lora|dora)\./.test(name))) return { kind: "adapters", name: "LoRA" };
  return undefined;
}

/**
 * Finds what a folder of reference numbers is about.
 *
 * @param folder A path or URL.
 * @throws {ConfigError} when it is nothing that is known, with what was looked for.
 * @example
 * ```ts
 * import { findComponent } from "./component.ts";
 * console.assert((await findComponent("tests/golden/vae")).name === "AutoencoderKL");
 * ```
 */
export async function findComponent(folder: string): Promise<Component> {
  const file = (name: string) => joinPath(folder, name);
  const has = (name: string) => exists(file(name));
  if (await has("config.json")) return ofConfig(folder, await readJson(file("config.json")));
  if (await has("t5.json") && (await has("spiece.model") || await has("tokenizer.json"))) {
    return { kind: "tokenizer", name: "T5Tokenizer" };
  }
  if (await has("captions.json")) return { kind: "captions", name: "cleanCaption" };
  const byIndex = await has("index.json") ? await ofIndex(folder, await readJson(file("index.json"))) : undefined;
  if (byIndex) return byIndex;
  const byTensors = await has("io.safetensors") ? await ofTensors(file("io.safetensors")) : undefined;
  return byTensors ?? unknown(folder, `none of these was found in it: ${LOOKED_FOR}`);
}
