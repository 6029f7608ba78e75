// `pixart generate`: a prompt, a file of prompts or an old picture becomes pictures in files. In: the words of the command line. Out:
// files, and a report of how they were made.

import { extname } from "node:path";
import { UsageError } from "../errors.ts";
import { exists } from "../io/byte_source.ts";
import type { MemoryPlan } from "../pipelines/memory_plan.ts";
import { cancellable } from "./cancel.ts";
import { asDistilled } from "./distilled.ts";
import { ContactSheet } from "./contact_sheet.ts";
import { checkControlFlags } from "./controlnet_options.ts";
import { planLine } from "./memory_options.ts";
import { locateModel, type ModelFlags, openPipeline } from "./open_pipeline.ts";
import { counted, EXIT, type Output } from "./output.ts";
import { type PictureReport, toSeconds } from "./paint.ts";
import { type FailedJob, paintAll } from "./paint_all.ts";
import { batchJobs, type FileFlags, type PictureJob, singleJob } from "./picture_jobs.ts";
import type { PictureFlags } from "./picture_options.ts";
import { SIZE_KEYS } from "./picture_size.ts";
import { formatSeconds, Progress } from "./progress.ts";
import { remakeOf } from "./remake.ts";
import { findScheduler, makeScheduler } from "./schedulers.ts";

/** The options of the command line, by their long names. */
export interface GenerateFlags extends PictureFlags, FileFlags, ModelFlags {
  /** A file of prompts. */
  batch?: string;
  /** A picture to make again. */
  like?: string;
  /** Where the contact sheet goes. */
  grid?: string;
  /** Where the picture under way is shown. */
  preview?: string;
  /** How the model was distilled. */
  distilled?: string;
}

/** What holds for a whole run. */
interface RunReport {
  /** The folder or URL. */
  model: string;
  dtype: string;
  backend: string;
  /** What the adapter says it is. */
  device: string;
  /** In the order in which they apply. */
  loras: { name: string; file: string; scale: number }[];
  /** Bytes of GPU buffers: the most at once, and with the model still loaded at the end. With --max-memory, what was planned for it. */
  memory: { peakBytes: number; bytesAfter: number; plan?: MemoryPlan };
  warnings: string[];
  /** The contact sheet. */
  grid?: string;
}

/** With --json, what is on stdout for one prompt. */
export interface GenerateReport extends Omit<PictureReport, "seconds" | "line">, RunReport {
  seconds: { load: number; generate: number; save: number; total: number };
}

/** With --json, what is on stdout for a batch; no more than the model and the pictures where all of them were there before. */
export interface BatchReport extends RunReport {
  /** What was made, in the order of the file. */
  pictures: PictureReport[];
  /** Files that were there before. */
  skipped: string[];
  failed: FailedJob[];
  seconds: { load: number; total: number };
}

/** What a run paints, and how its model is loaded. */
interface Task {
  jobs: PictureJob[];
  flags: GenerateFlags;
}

/** Options that the picture knows, where the user does not name others. */
async function settle(
  prompt: string | undefined,
  flags: GenerateFlags,
  given: ReadonlySet<string>,
): Promise<Task> {
  const sources = [flags.batch && "--batch", flags.like && "--like"].filter((source) => source !== undefined);
  if (sources.length === 2 || flags.batch !== undefined && prompt !== undefined) {
    const all = [prompt !== undefined && "a prompt", ...sources].filter(Boolean).join(" and ");
    throw new UsageError(`Cannot generate as one thing must say what is painted: ${all} do`);
  }
  if (flags.batch !== undefined) return { jobs: await batchJobs(flags.batch, flags, flags), flags };
  if (flags.like === undefined) {
    if (prompt === undefined) {
      throw new UsageError(
        "Cannot generate as a prompt must say what is painted: give one in quotes, or --batch FILE; see ./pixart generate --help",
      );
    }
    return { jobs: [await singleJob(prompt, flags, flags)], flags };
  }
  const named = new Set(prompt === undefined ? given : [...given, "prompt"]);
  const { prompt: old, flags: known, index } = await remakeOf(flags.like, named);
  const isSized = SIZE_KEYS.some((key) => given.has(key));
  const kept = Object.entries(known).filter(([key, value]) =>
    value !== undefined && !given.has(key) && !(isSized && SIZE_KEYS.some((one) => one === key))
  );
  const merged: GenerateFlags = { ...flags, ...Object.fromEntries(kept) };
  const only = merged.numImages > 1 && !given.has("numImages") ? index : undefined;
  return { jobs: [await singleJob(prompt ?? old, merged, flags, only)], flags: merged };
}

/** Looks whether the files beside the pictures can be written, before any work. */
async function checkFiles({ grid, preview, overwrite }: GenerateFlags): Promise<void> {
  for (const [what, file] of [["contact sheet", grid], ["preview", preview]]) {
    if (file !== undefined && extname(file).toLowerCase() !== ".png") {
      throw new UsageError(`Cannot save the ${what} to ${file} as it is a PNG file: give a name that ends in .png`);
    }
  }
  if (grid !== undefined && !overwrite && await exists(grid)) {
    throw new UsageError(`Cannot save the contact sheet to ${grid} as a file is there: add --overwrite to replace it`);
  }
}

/**
 * Makes pictures and saves them.
 *
 * @param given The options that the user named, beside those that stand at their defaults.
 * @returns The exit status: 1 when a line of a batch failed.
 * @throws {UsageError} when an option cannot be carried out; where that can be known, before any work.
 * @throws {CancelledError} when the user stopped it; then no file of the picture under way was written.
 */
export async function generate(
  prompt: string | undefined,
  asked: GenerateFlags,
  given: ReadonlySet<string>,
  output: Output,
): Promise<number> {
  const started = performance.now();
  const { jobs, flags } = await settle(prompt, asDistilled(asked, given), given);
  for (const job of jobs) checkControlFlags(job.flags, flags);
  await checkFiles(flags);
  return await cancellable("generate", (signal) => run({ jobs, flags }, { started, signal, output }));
}

async function run(
  { jobs, flags }: Task,
  { started, signal, output }: { started: number; signal: AbortSignal; output: Output },
): Promise<number> {
  const isBatch = flags.batch !== undefined;
  using progress = new Progress();
  const model = await locateModel(flags.model, { signal, progress });
  for (const name of new Set(jobs.map((job) => job.flags.scheduler))) {
    if (name !== undefined) await makeScheduler(findScheduler(name), model, signal);
  }
  const todo = jobs.filter(({ files }) => !files.isDone);
  const skipped = jobs.filter(({ files }) => files.isDone).flatMap(({ files }) => [...files.paths]);
  if (skipped.length > 0) output.log(`${counted(skipped.length, "picture")} there already`);
  if (todo.length === 0 && flags.grid === undefined) {
    output.document({ model, pictures: [], skipped, failed: [] });
    return EXIT.ok;
  }
  const warn = (text: string) => {
    progress.stop();
    output.log(`warning: ${text}`);
  };
  using opened = await openPipeline(model, flags, { signal, progress, warn, jobs: todo });
  const { pipe, device, loras, notes } = opened;
  const { memory } = pipe.components;
  if (memory) output.log(planLine(memory.plan));
  const loaded = performance.now();
  const sheet = flags.grid === undefined ? undefined : new ContactSheet();
  const context = { opened, scheduler: pipe.components.scheduler, signal, progress, previewFile: flags.preview };
  const { pictures, failed } = await paintAll(jobs, { ...context, output, sheet, goesOn: isBatch });
  if (sheet && sheet.count > 0) {
    await sheet.picture({ Software: "pixart-webgpu" }).save(flags.grid!, { overwrite: flags.overwrite });
    output.print(`${flags.grid}  ${counted(sheet.count, "picture")}`);
  }
  const seconds = { load: toSeconds(loaded - started), total: toSeconds(performance.now() - started) };
  const common: RunReport = {
    model,
    dtype: pipe.components.transformer.dtype,
    backend: device.entry.backend,
    device: device.description,
    loras,
    memory: { peakBytes: device.ledger.peak, bytesAfter: device.ledger.bytes, plan: memory?.plan },
    warnings: [...notes, ...pictures.flatMap(({ warnings }) => warnings)],
    ...(sheet && sheet.count > 0 ? { grid: flags.grid } : {}),
  };
  const painting = pictures.reduce((sum, { seconds }) => sum + seconds.generate, 0);
  output.log(
    `${formatSeconds(seconds.total)} on ${common.device}: ${seconds.load.toFixed(1)} s loading, ` +
      `${painting.toFixed(1)} s painting; ${Math.ceil(common.memory.peakBytes / 2 ** 20)} MiB of GPU memory at most`,
  );
  if (isBatch) {
    output.document({ ...common, pictures, skipped, failed, seconds } satisfies BatchReport);
    return failed.length > 0 ? EXIT.failed : EXIT.ok;
  }
  const [picture] = pictures;
  const report: GenerateReport = { ...picture, ...common, seconds: { ...picture.seconds, ...seconds } };
  output.document(report);
  return EXIT.ok;
}
