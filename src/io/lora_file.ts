// A LoRA or DoRA from a file or a folder, whichever tool wrote it. In: an address, and the modules of a model. Out: for each
// module that it changes, two thin matrices, a scaling and, for DoRA, the lengths of the weight's rows.
import { WeightsError } from "../errors.ts";
import { shown } from "./address.ts";
import { exists, folderOf, joinPath, type OpenOptions, readJson } from "./byte_source.ts";
import { openWeights } from "./checkpoint_folder.ts";
import {
  configOfMetadata,
  isLoraConfig,
  lookUpPattern,
  type LoraConfig,
  NO_CONFIG,
  parseLoraConfig,
} from "./lora_config.ts";
import { isOfTextEncoder, type LoraModule, type LoraPart, ModuleIndex, parseLoraName } from "./lora_names.ts";
import { openWeightsFile } from "./open_weights_file.ts";
import { describe, readFloats, readInts, type WeightSource } from "./weights.ts";

/** What a LoRA does to one weight W [N, K]: W + scaling * up down, its rows then set to the lengths of `magnitude`. */
export interface LoraUpdate {
  rank: number;
  /** alpha / rank, or alpha / sqrt(rank). */
  scaling: number;
  /** [rank, K], K with the taps of a convolution. */
  down: Float32Array;
  /** [N, rank] */
  up: Float32Array;
  /** [N]; with it, it is a DoRA. */
  magnitude?: Float32Array;
}

/** A LoRA that was read. */
export interface LoraFile {
  /** Where it came from. */
  name: string;
  /** By the module's name in diffusers' layout. */
  updates: ReadonlyMap<string, LoraUpdate>;
  /** Names of tensors for a text encoder, which were left aside. */
  ignored: readonly string[];
}

const FILE = /\.(safetensors|bin|pt|pth|ckpt|gguf|npz)([?#].*)?$/i;
const STEMS = ["adapter_model", "pytorch_lora_weights"];
// The training script of PixArt-Σ writes both layouts into a folder of this name.
const SUBFOLDERS = ["", "transformer_lora"];
const CONFIG = "adapter_config.json";
const LISTED = 6;

/** Names of a stranger's file in one line. */
function listed(names: readonly string[]): string {
  // deno-lint-ignore no-control-regex
  const plain = names.slice(0, LISTED).map((name) => name.slice(0, 120).replace(/[\x00-\x1f\x7f]/g, "?")).join(", ");
  return names.length > LISTED ? `${plain}, and ${names.length - LISTED} more` : plain;
}

/** Opens the tensors, and names the files that may tell alpha, most wanted first. */
async function open(address: string, options: OpenOptions): Promise<{ weights: WeightSource; configs: string[] }> {
  if (FILE.test(address)) {
    const stem = address.replace(FILE, "");
    const configs = [`${stem}.json`, `${stem}.config.json`, joinPath(folderOf(address), CONFIG)];
    return { weights: await openWeightsFile(address, options), configs };
  }
  for (const subfolder of SUBFOLDERS) {
    const folder = joinPath(address, subfolder);
    for (const stem of STEMS) {
      for (const ending of ["safetensors", "bin"]) {
        if (!await exists(joinPath(folder, `${stem}.${ending}`), options)) continue;
        return { weights: await openWeights(folder, stem, options), configs: [joinPath(folder, CONFIG)] };
      }
    }
  }
  throw new WeightsError(
    `Cannot open ${shown(address)} as a LoRA: neither ${STEMS.join(" nor ")} (.safetensors, .bin) is in it`,
  );
}

async function findConfig(weights: WeightSource, addresses: string[], options: OpenOptions): Promise<LoraConfig> {
  for (const address of addresses) {
    if (!await exists(address, options)) continue;
    const json = await readJson(address, options);
    if (address.endsWith(CONFIG) || isLoraConfig(json)) return parseLoraConfig(json, shown(address));
  }
  return configOfMetadata(weights.metadata, weights.name) ?? NO_CONFIG;
}

/** The tensors' names of one module, or of several that are fused. */
interface Found {
  targets: readonly LoraModule[];
  names: Partial<Record<LoraPart, string>>;
  isPeft: boolean;
}

function sortNames(weights: WeightSource, modules: readonly LoraModule[]): { found: Found[]; ignored: string[] } {
  const index = new ModuleIndex(modules);
  const byPath = new Map<string, Found>();
  const ignored: string[] = [], unknown: string[] = [];
  for (const name of weights.names()) {
    if (isOfTextEncoder(name)) {
      ignored.push(name);
      continue;
    }
    const parsed = parseLoraName(name);
    const targets = parsed && index.find(parsed.path);
    if (!parsed || !targets) {
      unknown.push(name);
      continue;
    }
    const key = targets.map((module) => module.name).join();
    const entry = byPath.get(key) ?? { targets, names: {}, isPeft: false };
    const twin = entry.names[parsed.part];
    if (twin) throw new WeightsError(`Cannot load the LoRA ${weights.name} as names must differ: ${twin} and ${name}`);
    entry.names[parsed.part] = name;
    entry.isPeft ||= parsed.isPeft;
    byPath.set(key, entry);
  }
  if (unknown.length > 0) {
    throw new WeightsError(
      `Cannot load the LoRA ${weights.name} as its names must be modules of this model: ` +
        `${unknown.length} are not: ${listed(unknown)}`,
    );
  }
  if (byPath.size === 0) {
    throw new WeightsError(
      `Cannot load the LoRA ${weights.name} as it must change this model: ` +
        (ignored.length > 0 ? `all of its ${ignored.length} tensors are for a text encoder` : "it is empty"),
    );
  }
  return { found: [...byPath.values()], ignored };
}

const product = (shape: readonly number[]) => shape.reduce((size, extent) => size * extent, 1);

/** The shape without the ones that convolutions of one tap have at the end. */
const trimmed = (shape: readonly number[]) => shape.filter((extent, axis) => axis < 2 || extent !== 1).join();

/** Reads one entry; a fused one is cut into its modules. */
async function readUpdates(weights: WeightSource, entry: Found, config: LoraConfig): Promise<[string, LoraUpdate][]> {
  const { targets, names } = entry;
  const module = targets.map(({ name }) => name).join(" and ");
  const refuse = (state: string) => new WeightsError(`Cannot load the LoRA ${weights.name} for ${module}: ${state}`);
  if (!names.down || !names.up) {
    throw refuse(`it has ${listed(Object.values(names))} and no ${names.down ? "up" : "down"}`);
  }
  const [down, up] = [weights.info(names.down), weights.info(names.up)];
  const rank = up.shape[1] ?? 0, parts = targets.length;
  const [, ...inner] = targets[0].shape;
  const rows = targets.reduce((sum, { shape }) => sum + shape[0], 0);
  // The parts of a fused weight share their way down, or have theirs one below the other.
  const downs = parts > 1 && down.shape[0] === parts * rank ? parts : 1;
  if (rank < 1 || trimmed(up.shape) !== `${rows},${rank}`) {
    throw refuse(`${describe(up)} must be [${rows}, rank]`);
  }
  if (trimmed(down.shape) !== trimmed([downs * rank, ...inner])) {
    throw refuse(`${describe(down)} must be [${[rank, ...inner].join(", ")}]`);
  }
  const magnitude = names.magnitude ? weights.info(names.magnitude) : undefined;
  if (magnitude && (product(magnitude.shape) !== rows || Math.max(...magnitude.shape) !== rows)) {
    throw refuse(`${describe(magnitude)} must be [${rows}]`);
  }
  const name = targets[0].name;
  const stated = lookUpPattern(config.rankOf, name) ?? config.rank;
  const alpha = names.alpha ? await readAlpha(weights, names.alpha) : undefined;
  if (alpha === undefined && stated !== undefined && stated !== rank) {
    throw refuse(`its rank is ${rank}, and ${config.source} says ${stated}`);
  }
  // Tools other than PEFT mean a scaling of 1 where they state no alpha.
  const known = alpha ?? lookUpPattern(config.alphaOf, name) ??
    (entry.isPeft || config !== NO_CONFIG ? config.alpha : rank);
  const scaling = known / (alpha === undefined && config.useRslora ? Math.sqrt(rank) : rank);
  const [downs32, up32] = [await readFloats(weights, names.down), await readFloats(weights, names.up)];
  const magnitude32 = names.magnitude ? await readFloats(weights, names.magnitude) : undefined;
  const depth = product(inner);
  let row = 0;
  return targets.map(({ name, shape: [count] }, part): [string, LoraUpdate] => {
    const start = row;
    row += count;
    return [name, {
      rank,
      scaling,
      down: downs > 1 ? downs32.subarray(part * rank * depth, (part + 1) * rank * depth) : downs32,
      up: up32.subarray(start * rank, row * rank),
      magnitude: magnitude32?.subarray(start, row),
    }];
  });
}

async function readAlpha(weights: WeightSource, name: string): Promise<number> {
  const info = weights.info(name);
  const numbers = info.dtype.includes("F") ? await readFloats(weights, name) : await readInts(weights, name);
  if (numbers.length === 1 && Number.isFinite(numbers[0])) return numbers[0];
  throw new WeightsError(`Cannot load the LoRA ${weights.name} as ${describe(info)} must be one finite number`);
}

/**
 * Reads a LoRA or DoRA for a model.
 *
 * Known are folders of PEFT, files and folders of diffusers, and files with the names of kohya and OneTrainer, for modules under
 * diffusers' names or the original repository's. Where the tensors do not state alpha, it is looked for in `<name>.json`,
 * `<name>.config.json`, `adapter_config.json` and the file's metadata; PEFT's files mean 8 when it is nowhere, others their rank.
 *
 * @param address A path or URL of a file or a folder.
 * @param modules The modules of the model, whose weights it may change.
 * @throws {WeightsError} naming what is no module of the model, incomplete, or of another shape.
 * @throws {ConfigError} when its configuration asks for what cannot be done.
 * @example
 * ```ts
 * import { readLora } from "./lora_file.ts";
 * const modules = [{ name: "proj_out", shape: [32, 96] }];
 * await readLora("style.safetensors", modules).catch((error) => console.assert(error.name === "WeightsError"));
 * ```
 */
export async function readLora(
  address: string | URL,
  modules: readonly LoraModule[],
  options: OpenOptions = {},
): Promise<LoraFile> {
  const { weights, configs } = await open(String(address), options);
  using _open = weights;
  const { found, ignored } = sortNames(weights, modules);
  const needsConfig = found.some(({ names }) => names.alpha === undefined);
  const config = needsConfig ? await findConfig(weights, configs, options) : NO_CONFIG;
  const updates = new Map<string, LoraUpdate>();
  for (const entry of found) {
    for (const [name, update] of await readUpdates(weights, entry, config)) {
      if (updates.has(name)) throw new WeightsError(`Cannot load the LoRA ${weights.name} as ${name} is in it twice`);
      updates.set(name, update);
    }
  }
  return { name: weights.name, updates, ignored };
}
