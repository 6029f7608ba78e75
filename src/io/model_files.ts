// The files of one network, wherever they lie. In: a folder in diffusers' or transformers' layout, a folder with one file of weights,
// a whole pipeline's folder, or a file. Out: the weights as they are stored, and what is said beside them of the network.

import { ConfigError, WeightsError } from "../errors.ts";
import { exists, folderOf, joinPath, type OpenOptions, readJson } from "./byte_source.ts";
import { addressOf, isRemote, pathOf } from "./address.ts";
import { openWeights } from "./checkpoint_folder.ts";
import { openWeightsFile } from "./open_weights_file.ts";
import { isRecord } from "./strict_json.ts";
import type { WeightSource } from "./weights.ts";

/** How to find and open the files of a network. */
export interface ModelFilesOptions extends OpenOptions {
  /** The folder inside of the given one. */
  subfolder?: string;
  /** The infix of another form of the same weights, such as `fp16`; where there is only one form, it is found without. */
  variant?: string;
  /** Whether to read the averaged weights of a torch file in place of the others. */
  ema?: boolean;
}

/** Which files a network has. */
export interface ModelFilesRule {
  /** The folder of the network in that of a pipeline: `transformer`. */
  component: string;
  /** The usual name of its weights before the ending: `diffusion_pytorch_model`. */
  stem: string;
  /** Whether a config beside a file is of such a network, and not of a neighbour. */
  isOwn(config: Record<string, unknown>): boolean;
}

/** The files that were found. */
export interface ModelFiles {
  source: WeightSource;
  /** What stands beside the weights, or in the file itself under `config`. */
  config?: Record<string, unknown>;
  /** The folder with the weights. */
  folder: string;
}

const WEIGHTS = /\.(safetensors|pth|pt|ckpt|bin|gguf|npz)$/;

/** Whether an address is that of a file; of a URL only its ending can tell. */
export async function isFile(address: string): Promise<boolean> {
  const place = addressOf(address);
  if (isRemote(place)) return WEIGHTS.test(new URL(place).pathname);
  try {
    return !(await Deno.stat(pathOf(place))).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}

/**
 * Opens the weights of a network, and reads what is said of it.
 *
 * @throws {WeightsError} when there are no weights, or several and none of the usual name.
 * @throws {ConfigError} when a config is not a JSON object.
 */
export async function openModelFiles(
  address: string,
  rule: ModelFilesRule,
  options: ModelFilesOptions = {},
): Promise<ModelFiles> {
  const { subfolder } = options;
  if (!subfolder && await isFile(address)) return await openFile(address, rule, options);
  const inPipeline = subfolder === undefined && await exists(joinPath(address, "model_index.json"), options);
  const folder = joinPath(address, inPipeline ? rule.component : subfolder ?? "");
  const configFile = joinPath(folder, "config.json");
  const config = await exists(configFile, options) ? await readConfig(configFile, options) : undefined;
  return { source: await openInFolder(folder, rule.stem, options), config, folder };
}

async function openFile(file: string, rule: ModelFilesRule, options: ModelFilesOptions): Promise<ModelFiles> {
  const folder = folderOf(file);
  const source = await openWeightsFile(file, options);
  try {
    const own = String(file).replace(/[?#].*$/s, "").replace(/\.[^./\\]*$/, "");
    for (const candidate of [`${own}.json`, joinPath(folder, "config.json")]) {
      if (!await exists(candidate, options)) continue;
      const config = await readConfig(candidate, options);
      if (rule.isOwn(config)) return { source, config, folder };
    }
    return { source, config: storedConfig(source), folder };
  } catch (error) {
    source[Symbol.dispose]();
    throw error;
  }
}

async function readConfig(file: string, options: OpenOptions): Promise<Record<string, unknown>> {
  const config = await readJson(file, options);
  if (!isRecord(config)) {
    throw new ConfigError(`Cannot read ${file} as a config as it must be a JSON object: it is none`);
  }
  return config;
}

/** The config that `convert` writes into files that have room for one. */
function storedConfig({ name, metadata }: WeightSource): Record<string, unknown> | undefined {
  if (metadata.config === undefined) return undefined;
  let config: unknown;
  try {
    config = JSON.parse(metadata.config);
  } catch {
    config = undefined;
  }
  if (!isRecord(config)) {
    throw new ConfigError(`Cannot read the config in ${name} as it must be a JSON object: it is none`);
  }
  return config;
}

async function openInFolder(folder: string, stem: string, options: ModelFilesOptions): Promise<WeightSource> {
  const names = await filesOf(folder);
  if (!names || options.variant !== undefined) return await openWeights(folder, stem, options);
  const stems = stem === "model" ? [stem, "pytorch_model"] : [stem];
  const isPlain = (name: string) =>
    stems.some((one) => new RegExp(`^${one}\\.(safetensors|bin)(\\.index\\.json)?$`).test(name));
  if (names.some(isPlain)) return await openWeights(folder, stem, options);
  const infix = new RegExp(
    `^(?:${stems.join("|")})\\.(?:(\\w+)\\.(?:safetensors|bin)|(?:safetensors|bin)\\.index\\.(\\w+)\\.json)$`,
  );
  const variants = new Set(names.flatMap((name) => infix.exec(name)?.slice(1).filter((found) => found) ?? []));
  if (variants.size === 1) return await openWeights(folder, stem, { ...options, variant: [...variants][0] });
  const all = names.filter((name) => WEIGHTS.test(name));
  const named = all.filter((name) => /^model\.\w+$/.test(name));
  const [file, ...more] = named.length > 0 ? named : all;
  if (file === undefined) return await openWeights(folder, stem, options); // which tells what was looked for
  if (more.length > 0) {
    throw new WeightsError(
      `Cannot open weights in ${folder} as one file must be them: it has ${all.join(", ")}; give the path of the file`,
    );
  }
  return await openWeightsFile(joinPath(folder, file), options);
}

/** The names in a folder, sorted; undefined where they cannot be listed. */
async function filesOf(folder: string): Promise<string[] | undefined> {
  const place = addressOf(folder);
  if (isRemote(place)) return undefined;
  const names: string[] = [];
  try {
    for await (const { name, isDirectory } of Deno.readDir(pathOf(place))) if (!isDirectory) names.push(name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
  return names.sort();
}
