// `pixart generate`: a prompt becomes pictures in files. In: the prompt and the options. Out: files, and a report of how they
// were made.

import { UsageError } from "../errors.ts";
import { Device } from "../gpu/device.ts";
import type { Backend } from "../gpu/backend.ts";
import { exists, joinPath, readJson } from "../io/byte_source.ts";
import { isRecord } from "../io/strict_json.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { DEFAULT_MODEL } from "../pipelines/default_model.ts";
import { findModel } from "../pipelines/presets.ts";
import { PixArtAlphaPipeline } from "../pipelines/pixart_alpha_pipeline.ts";
import { PixArtSigmaPipeline } from "../pipelines/pixart_sigma_pipeline.ts";
import { cancellable } from "./cancel.ts";
import { checkLoras, type LoraChoice, wearLoras } from "./loras.ts";
import type { Output } from "./output.ts";
import { settlePictureFiles } from "./picture_files.ts";
import { pictureName } from "./picture_names.ts";
import { formatSeconds, Progress } from "./progress.ts";
import { findScheduler, makeScheduler } from "./schedulers.ts";

/** The options of the command line, by their long names. */
export interface GenerateFlags {
  model?: string;
  out?: string;
  steps: number;
  guidance: number;
  seed?: number;
  negative?: string;
  width?: number;
  height?: number;
  numImages: number;
  scheduler?: string;
  dtype?: WeightDType;
  backend?: Backend;
  maxSequenceLength?: number;
  cleanCaption: boolean;
  binning: boolean;
  lora?: LoraChoice[];
  overwrite?: boolean;
}

/** How the pictures were made; with --json, what is on stdout. */
export interface GenerateReport {
  prompt: string;
  seed: number;
  steps: number;
  guidance: number;
  /** Pixels. */
  width: number;
  height: number;
  /** The folder or URL. */
  model: string;
  scheduler: string;
  dtype: string;
  backend: string;
  /** In the order in which they apply. */
  loras: { name: string; file: string; scale: number }[];
  /** What the adapter says it is. */
  device: string;
  /** Paths, in the order of the batch. */
  images: string[];
  seconds: { load: number; generate: number; save: number; total: number };
  /** Bytes of GPU buffers: the most at once, and with the model still loaded at the end. */
  memory: { peakBytes: number; bytesAfter: number };
  warnings: string[];
}

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;

const toSeconds = (ms: number) => Math.round(ms) / 1000;

/** The class that a checkpoint is for; its index says so. */
async function pipelineClass(folder: string, signal: AbortSignal) {
  const file = joinPath(folder, "model_index.json");
  if (!await exists(file, { signal })) {
    throw new UsageError(
      `Cannot load the model ${folder} as it must be a checkpoint in diffusers' layout: it has no model_index.json; ` +
        "give --model its folder or URL",
    );
  }
  const index = await readJson(file, { signal });
  return isRecord(index) && index._class_name === "PixArtAlphaPipeline" ? PixArtAlphaPipeline : PixArtSigmaPipeline;
}

/**
 * Makes pictures and saves them.
 *
 * @throws {UsageError} when an option cannot be carried out; where that can be known, before any work.
 * @throws {CancelledError} when the user stopped it; then no file was written.
 */
export async function generate(prompt: string, flags: GenerateFlags, output: Output): Promise<void> {
  const started = performance.now();
  const choice = flags.scheduler === undefined ? undefined : findScheduler(flags.scheduler);
  // Drawn here and not in the pipeline, since the names of the files have it in them.
  const seed = flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
  const { numImages: count, overwrite = false, steps, guidance } = flags;
  const files = await settlePictureFiles({
    out: flags.out,
    name: pictureName("{slug}-{seed}", { prompt, seed, steps, guidance }),
    count,
    overwrite,
  });
  const report = await cancellable("generate", async (signal): Promise<GenerateReport> => {
    using progress = new Progress();
    const model = await findModel(flags.model ?? DEFAULT_MODEL, {
      signal,
      onProgress: ({ loaded, total }) => progress.show("downloading", loaded, total),
    });
    const { lora: chosen = [] } = flags;
    await checkLoras(chosen, signal);
    const scheduler = choice && await makeScheduler(choice, model, signal);
    const pipelines = await pipelineClass(model, signal);
    using device = await Device.open({ backend: flags.backend });
    using pipe = await pipelines.fromPretrained(model, {
      device,
      dtype: flags.dtype,
      scheduler,
      signal,
      onProgress: ({ component, loaded, total }) => progress.show(`loading ${component}`, loaded, total),
    });
    const { loras, notes } = await wearLoras(
      pipe,
      chosen,
      signal,
      (done, total) => progress.show("applying LoRAs", done, total),
    );
    progress.stop();
    const loaded = performance.now();

    const { components } = pipe;
    output.log(`${counted(count, "picture")}, ${counted(steps, "step")}, seed ${seed}`);
    // Some methods ask the model twice a step, which takes twice the time.
    components.scheduler.setTimesteps(steps);
    progress.show("denoising", 0, components.scheduler.timesteps.length);
    const { images, warnings } = await pipe.generate(prompt, {
      negativePrompt: flags.negative,
      numInferenceSteps: steps,
      guidanceScale: guidance,
      numImagesPerPrompt: count,
      width: flags.width,
      height: flags.height,
      seed,
      cleanCaption: flags.cleanCaption,
      useResolutionBinning: flags.binning,
      maxSequenceLength: flags.maxSequenceLength,
      signal,
      onStep: ({ step, steps }) => progress.show(step < steps ? "denoising" : "decoding", step % steps, steps),
    });
    progress.stop();
    const generated = performance.now();

    signal.throwIfAborted();
    const paths: string[] = [];
    for (const [index, image] of images.entries()) paths.push(await files.save(image, index));
    const saved = performance.now();
    return {
      prompt,
      seed,
      steps,
      guidance,
      width: images[0].width,
      height: images[0].height,
      model,
      scheduler: components.scheduler.constructor.name,
      dtype: components.transformer.dtype,
      loras,
      backend: device.entry.backend,
      device: device.description,
      images: paths,
      seconds: {
        load: toSeconds(loaded - started),
        generate: toSeconds(generated - loaded),
        save: toSeconds(saved - generated),
        total: toSeconds(saved - started),
      },
      memory: { peakBytes: device.ledger.peak, bytesAfter: device.ledger.bytes },
      warnings: [...notes, ...warnings],
    };
  });
  tell(report, output);
}

function tell(report: GenerateReport, output: Output): void {
  const { warnings, images, width, height, seed, seconds, memory } = report;
  for (const warning of warnings) output.log(`warning: ${warning}`);
  output.log(
    `${formatSeconds(seconds.total)} on ${report.device}: ${seconds.load.toFixed(1)} s loading, ` +
      `${seconds.generate.toFixed(1)} s painting; ${Math.ceil(memory.peakBytes / 2 ** 20)} MiB of GPU memory at most`,
  );
  for (const path of images) output.print(`${path}  ${width}x${height}  seed ${seed}`);
  output.document(report);
}
