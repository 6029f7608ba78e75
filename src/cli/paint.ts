// One job of `generate`: a call of the pipeline, and its pictures in their files. In: a loaded pipeline and a job. Out: the files,
// and a report of how they were made.

import type { Image } from "../io/image.ts";
import { loadImage } from "../io/load_image.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";
import { callOptions } from "./call_options.ts";
import { controlOptions } from "./controlnet_options.ts";
import type { OpenedPipeline } from "./open_pipeline.ts";
import type { PictureJob } from "./picture_jobs.ts";
import type { Progress } from "./progress.ts";
import { findScheduler, makeScheduler } from "./schedulers.ts";

/** How pictures were made. */
export interface PictureReport {
  /** Of the batch file. */
  line?: number;
  prompt: string;
  seed: number;
  steps: number;
  guidance: number;
  /** Pixels. */
  width: number;
  height: number;
  scheduler: string;
  /** Paths, in the order of the batch. */
  images: string[];
  seconds: { generate: number; save: number };
  warnings: string[];
}

/** Milliseconds as seconds, to three digits. */
export const toSeconds = (ms: number): number => Math.round(ms) / 1000;

/** What a job needs beside itself. */
export interface PaintContext {
  opened: OpenedPipeline;
  /** The checkpoint's own. */
  scheduler: Scheduler;
  signal: AbortSignal;
  progress: Progress;
  /** In front of what is shown: `2 of 9: `. */
  label?: string;
  /** Shows the first picture after each step. */
  previewFile?: string;
}

/**
 * Paints a job and saves its pictures.
 *
 * @throws The signal's reason when it was aborted; then no file was written.
 */
export async function paint(
  job: PictureJob,
  { opened: { pipe, model, decoding, hed }, scheduler, signal, progress, label = "", previewFile }: PaintContext,
): Promise<{ report: PictureReport; images: Image[] }> {
  const { prompt, flags, seed, files, only } = job;
  const { steps, guidance } = flags;
  const { components } = pipe;
  components.scheduler = flags.scheduler === undefined
    ? scheduler
    : await makeScheduler(findScheduler(flags.scheduler), model, signal);
  const begun = performance.now();
  const picture = async (file: string | undefined) =>
    file === undefined ? undefined : await loadImage(file, { signal });
  // Some methods ask the model twice a step, which takes twice the time.
  components.scheduler.setTimesteps(steps);
  progress.show(`${label}denoising`, 0, components.scheduler.timesteps.length);
  const { images, warnings } = await pipe.generate(prompt, {
    ...callOptions(job, pipe),
    ...decoding,
    image: await picture(flags.image),
    maskImage: await picture(flags.mask),
    strength: flags.strength,
    ...await controlOptions(flags, { hed, signal }),
    signal,
    async onStep({ step, steps, preview }) {
      progress.show(`${label}${step < steps ? "denoising" : "decoding"}`, step % steps, steps);
      if (previewFile !== undefined) await (await preview())[0].save(previewFile, { overwrite: true });
    },
  });
  progress.stop();
  const generated = performance.now();
  signal.throwIfAborted();
  const kept = only === undefined ? images : [images[only]];
  const paths: string[] = [];
  for (const [index, image] of kept.entries()) {
    // The class alone would not tell `dpm-karras` from `dpm`.
    if (flags.scheduler !== undefined) image.metadata.scheduler = flags.scheduler;
    paths.push(await files.save(image, index));
  }
  const [{ width, height }] = kept;
  const report = {
    ...(job.line === undefined ? {} : { line: job.line }),
    ...{ prompt, seed, steps, guidance, width, height },
    scheduler: components.scheduler.constructor.name,
    images: paths,
    seconds: { generate: toSeconds(generated - begun), save: toSeconds(performance.now() - generated) },
    warnings,
  };
  return { report, images: kept };
}
