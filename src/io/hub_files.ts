// Which files of a model are needed: configs, the vocabulary, and one form of each component's weights. In: the paths of all
// files in its repository. Out: the paths of those to have; shards are known only once their index is read.
import { DownloadError, UsageError } from "../errors.ts";
import { isSafePath } from "./hub_names.ts";
import { isRecord } from "./strict_json.ts";

/** The folders of a pipeline in diffusers' layout. */
export const COMPONENTS = ["scheduler", "tokenizer", "transformer", "vae", "text_encoder"] as const;

/** The file that says which components a pipeline has. */
export const INDEX = "model_index.json";

/** What to take of a repository. */
export interface FileChoice {
  /** Components, other folders, or single files; the whole pipeline when left out. */
  files?: readonly string[];
  /** The infix of another form of the weights, such as `fp16`; a component without it is taken in its usual form. */
  variant?: string;
  /** Whether chosen folders that the repository lacks are passed over. */
  partial?: boolean;
}

/** What was chosen. */
export interface ChosenFiles {
  paths: string[];
  /** Those of the paths that are indexes of shards. */
  indexes: string[];
  /** Chosen folders that the repository lacks, where that is allowed. */
  missing: string[];
}

const CONFIGS = [
  "config.json",
  "scheduler_config.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "adapter_config.json",
];
const STEMS = ["diffusion_pytorch_model", "model", "pytorch_model", "adapter_model", "pytorch_lora_weights"];
// A file of the second kind is code to Python, and slower to read.
const ENDINGS = [".safetensors", ".bin"];
const WEIGHTS = /\.(safetensors|bin|pth|pt|ckpt|msgpack|h5|onnx|gguf)$/;
const VARIANT = new RegExp(`^(?:${STEMS.join("|")})\\.([^.]+)(?:\\.safetensors|\\.bin)$`);
const INDEX_VARIANT = /\.index\.([^.]+)\.json$/;

const joined = (folder: string, name: string) => folder === "" ? name : `${folder}/${name}`;

/** The names of the files that lie directly in a folder. */
function namesIn(listing: readonly string[], folder: string): Set<string> {
  const start = folder === "" ? "" : `${folder}/`;
  return new Set(
    listing.filter((path) => path.startsWith(start) && !path.includes("/", start.length)).map((path) =>
      path.slice(start.length)
    ),
  );
}

/** A few of many names, for a message. */
function some(names: Iterable<string>): string {
  const all = [...names];
  return all.length === 0
    ? "nothing"
    : all.slice(0, 8).join(", ") + (all.length > 8 ? ` and ${all.length - 8} more` : "");
}

/** The weights to take: one file or an index, the variant before the usual form. */
function weightsIn(names: Set<string>, variant: string | undefined): { name: string; isVariant: boolean } | undefined {
  for (const form of variant === undefined ? [undefined] : [variant, undefined]) {
    for (const ending of ENDINGS) {
      for (const stem of STEMS) {
        const single = form === undefined ? `${stem}${ending}` : `${stem}.${form}${ending}`;
        const index = form === undefined ? `${stem}${ending}.index.json` : `${stem}${ending}.index.${form}.json`;
        const name = [single, index].find((one) => names.has(one));
        if (name !== undefined) return { name, isVariant: form !== undefined };
      }
    }
  }
}

function variantsIn(listing: readonly string[]): Set<string> {
  const found = listing.map((path) => path.slice(path.lastIndexOf("/") + 1)).map((name) =>
    (VARIANT.exec(name) ?? INDEX_VARIANT.exec(name))?.[1]
  );
  return new Set(found.filter((one) => one !== undefined));
}

/**
 * Chooses the files to have.
 *
 * @param model What messages call the repository.
 * @param listing The paths of all its files; those that would lead out of its folder are passed over.
 * @throws {UsageError} when a folder, file or variant was asked for that is not there.
 * @throws {DownloadError} when a component has no weights in a form that is read here.
 * @example
 * ```ts
 * import { chooseFiles } from "./hub_files.ts";
 * const { paths } = chooseFiles("org/vae", ["README.md", "config.json", "diffusion_pytorch_model.bin"], {});
 * console.assert(paths.join() === "config.json,diffusion_pytorch_model.bin");
 * ```
 */
export function chooseFiles(model: string, listing: readonly string[], choice: FileChoice): ChosenFiles {
  const { variant, partial = false } = choice;
  const safe = listing.filter(isSafePath);
  const hasFolder = (folder: string) => safe.some((path) => path.startsWith(`${folder}/`));
  const paths = new Set<string>(), indexes: string[] = [], missing: string[] = [];
  let hasWeights = false, hasVariant = false;

  const takeFolder = (folder: string) => {
    const names = namesIn(safe, folder);
    const configs = CONFIGS.filter((name) => names.has(name));
    const vocabulary = ["spiece.model", "tokenizer.json"].find((name) => names.has(name));
    for (const name of vocabulary ? [...configs, vocabulary] : configs) paths.add(joined(folder, name));
    const weights = weightsIn(names, variant);
    if (weights) {
      const path = joined(folder, weights.name);
      paths.add(path);
      if (path.endsWith(".json")) indexes.push(path);
      hasWeights = true;
      hasVariant ||= weights.isVariant;
    } else if (names.has("config.json") && vocabulary === undefined) {
      const place = folder === "" ? "it" : `its folder ${folder}`;
      const there = [...names].filter((name) => WEIGHTS.test(name) || INDEX_VARIANT.test(name));
      const variants = [...variantsIn(there)];
      const hint = variants.length > 0 ? `; ask for the variant ${variants.join(" or ")}` : "";
      throw new DownloadError(
        `Cannot take ${model} as ${place} must hold weights in safetensors or .bin files: ${
          some(there)
        } is there${hint}`,
      );
    }
  };

  if (choice.files === undefined) {
    if (safe.includes(INDEX)) paths.add(INDEX);
    const folders = COMPONENTS.filter(hasFolder);
    for (const folder of folders) takeFolder(folder);
    if (folders.length === 0) takeFolder("");
    missing.push(...COMPONENTS.filter((folder) => !folders.includes(folder)));
  }
  for (const wanted of choice.files?.map((name) => name.replace(/\/+$/, "")) ?? []) {
    if (safe.includes(wanted)) paths.add(wanted);
    else if (hasFolder(wanted)) takeFolder(wanted);
    else if (partial) missing.push(wanted);
    else {
      const places = new Set(safe.map((path) => path.split("/")[0]));
      throw new UsageError(
        `Cannot take ${wanted} of ${model} as it must be a folder or file there: ${some(places)} is`,
      );
    }
  }
  if (paths.size === 0 && !partial) {
    throw new UsageError(
      `Cannot take ${model} as a whole as it holds no component: name the files to take; ${
        some(safe.filter((path) => WEIGHTS.test(path)))
      } is there`,
    );
  }
  if (variant !== undefined && hasWeights && !hasVariant && !partial) {
    throw new UsageError(
      `Cannot take ${model} as variant "${variant}" as no component has it: variants there are ${
        some(variantsIn(safe))
      }`,
    );
  }
  return { paths: [...paths], indexes, missing };
}

/**
 * The shards that an index names.
 *
 * @param index The index's path.
 * @param json What it holds.
 * @throws {DownloadError} when it is no index, or names files that are not there.
 */
export function shardsOf(model: string, index: string, json: unknown, listing: readonly string[]): string[] {
  const cannot = `Cannot take ${model} as ${index} must map each tensor to a file beside it`;
  const map = isRecord(json) ? json.weight_map : undefined;
  if (!isRecord(map)) throw new DownloadError(`${cannot}: it has no weight_map`);
  const names = new Set(Object.values(map));
  const folder = index.slice(0, index.lastIndexOf("/") + 1);
  const safe = new Set(listing.filter(isSafePath));
  return [...names].map((name) => {
    const path = `${folder}${name}`;
    if (typeof name === "string" && !name.includes("/") && safe.has(path)) return path;
    throw new DownloadError(`${cannot}: ${JSON.stringify(name)?.slice(0, 120)} is not there`);
  });
}
