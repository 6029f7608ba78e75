// A whole pipeline's folder. In: its networks, and folders to take the tokenizer and the scheduler from. Out: the folder that diffusers
// and this library load: `model_index.json` and a folder for each component.

import { UsageError } from "../errors.ts";
import { exists, joinPath, readBytes } from "../io/byte_source.ts";
import { type ReplaceOptions, writeFolderWhole } from "../io/output_file.ts";
import { configText } from "./config_text.ts";
import { CLASS_OF, type ModelKind } from "./open_model.ts";
import { fillModelFolder, type WritableModel, type WriteModelOptions, type WrittenModel } from "./write_model.ts";

/** The classes of diffusers' pipelines. */
export type PipelineClass = "PixArtAlphaPipeline" | "PixArtSigmaPipeline";

/** What a pipeline is put together from. */
export interface PipelineParts {
  pipeline: PipelineClass;
  /** Its networks, which may be opened when their turn comes. */
  models: readonly (() => Promise<WritableModel & Disposable>)[];
  /** A folder with `spiece.model` or `tokenizer.json`. */
  tokenizer?: string;
  /** A folder with `scheduler_config.json`; PixArt's own settings when there is none. */
  scheduler?: string;
}

/** A version of diffusers that has all classes named here; it reads the key of every index. */
const DIFFUSERS_VERSION = "0.30.0";

/** DPM-Solver++ as PixArt's releases state it (REFERENCE H01). */
const SCHEDULER = {
  _class_name: "DPMSolverMultistepScheduler",
  _diffusers_version: DIFFUSERS_VERSION,
  algorithm_type: "dpmsolver++",
  beta_end: 0.02,
  beta_schedule: "linear",
  beta_start: 0.0001,
  dynamic_thresholding_ratio: 0.995,
  euler_at_final: false,
  final_sigmas_type: "zero",
  lower_order_final: true,
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  sample_max_value: 1.0,
  solver_order: 2,
  solver_type: "midpoint",
  steps_offset: 0,
  thresholding: false,
  timestep_spacing: "linspace",
  trained_betas: null,
  use_karras_sigmas: false,
  use_lu_lambdas: false,
  variance_type: null,
};

const SCHEDULER_FILE = "scheduler_config.json";
const TOKENIZER_FILES = [
  "spiece.model",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
];

/** Whether a folder holds a T5 tokenizer. */
export async function hasTokenizer(folder: string): Promise<boolean> {
  return await exists(joinPath(folder, "spiece.model")) || await exists(joinPath(folder, "tokenizer.json"));
}

async function copyFiles(from: string, names: readonly string[], to: string): Promise<void> {
  await Deno.mkdir(to);
  for (const name of names) {
    const source = joinPath(from, name);
    if (await exists(source)) await Deno.writeFile(joinPath(to, name), await readBytes(source));
  }
}

/**
 * Writes a pipeline's folder, its networks one after another.
 *
 * @throws {UsageError} when something is there and may not be written over, or there is no tokenizer where one is to be.
 */
export async function writePipeline(
  out: string,
  { pipeline, models, tokenizer, scheduler }: PipelineParts,
  options: Omit<WriteModelOptions, "format" | "overwrite" | "onProgress"> & ReplaceOptions & {
    onProgress?: (kind: ModelKind, written: number, total: number) => void;
  },
): Promise<WrittenModel[]> {
  if (tokenizer !== undefined && !await hasTokenizer(tokenizer)) {
    throw new UsageError(
      `Cannot take a tokenizer from ${tokenizer} as it must hold spiece.model or tokenizer.json: it holds neither`,
    );
  }
  return await writeFolderWhole(out, { overwrite: options.overwrite }, async (folder) => {
    const index: Record<string, unknown> = { _class_name: pipeline, _diffusers_version: DIFFUSERS_VERSION };
    const written: WrittenModel[] = [];
    for (const open of models) {
      using model = await open();
      const { kind } = model;
      const onProgress = (done: number, total: number) => options.onProgress?.(kind, done, total);
      await Deno.mkdir(joinPath(folder, kind));
      const one = await fillModelFolder(joinPath(folder, kind), model, { ...options, onProgress });
      written.push({ ...one, path: joinPath(out, kind) });
      index[kind] = [kind === "text_encoder" ? "transformers" : "diffusers", CLASS_OF[kind]];
    }
    if (tokenizer !== undefined) {
      await copyFiles(tokenizer, TOKENIZER_FILES, joinPath(folder, "tokenizer"));
      index.tokenizer = ["transformers", "T5Tokenizer"];
    }
    await copyFiles(scheduler ?? "", scheduler === undefined ? [] : [SCHEDULER_FILE], joinPath(folder, "scheduler"));
    const schedulerFile = joinPath(folder, "scheduler", SCHEDULER_FILE);
    if (!await exists(schedulerFile)) await Deno.writeTextFile(schedulerFile, configText(SCHEDULER));
    const { _class_name: name } = JSON.parse((await Deno.readTextFile(schedulerFile)).replaceAll("-Infinity", "null"));
    index.scheduler = ["diffusers", name ?? SCHEDULER._class_name];
    await Deno.writeTextFile(joinPath(folder, "model_index.json"), configText(index));
    return written;
  });
}
