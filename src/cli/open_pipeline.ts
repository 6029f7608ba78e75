// The pipeline that a command line asks for, loaded. In: a model's name and how to load it. Out: a pipeline with its LoRAs.

import { UsageError } from "../errors.ts";
import type { Backend } from "../gpu/backend.ts";
import { Device } from "../gpu/device.ts";
import { exists, joinPath, readJson } from "../io/byte_source.ts";
import { isRecord } from "../io/strict_json.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import { DEFAULT_MODEL } from "../pipelines/default_model.ts";
import { HEDdetector } from "../pipelines/hed_detector.ts";
import { PixArtAlphaPipeline } from "../pipelines/pixart_alpha_pipeline.ts";
import { PixArtSigmaPipeline } from "../pipelines/pixart_sigma_pipeline.ts";
import { findModel } from "../pipelines/presets.ts";
import type { TextToImagePipeline } from "../pipelines/text_to_image.ts";
import { callOptions } from "./call_options.ts";
import { checkLoras, type LoraChoice, wearLoras } from "./loras.ts";
import { type MemoryFlags, memoryLoading } from "./memory_options.ts";
import type { PictureJob } from "./picture_jobs.ts";
import type { Progress } from "./progress.ts";
import { findScheduler, makeScheduler } from "./schedulers.ts";
import { chooseTiles } from "./tuned_device.ts";

/** What is loaded, and how. */
export interface ModelFlags extends MemoryFlags {
  model?: string;
  dtype?: WeightDType;
  backend?: Backend;
  lora?: LoraChoice[];
  controlnet?: string;
  hed?: string;
}

/** A pipeline on its device; both are freed together. */
export interface OpenedPipeline extends Disposable {
  pipe: TextToImagePipeline;
  device: Device;
  /** Draws the edges that a ControlNet is shown. */
  hed?: HEDdetector;
  /** The folder or URL that it came from. */
  model: string;
  /** How its pictures are decoded. */
  decoding: { vaeTiling?: boolean; vaeSlicing?: boolean };
  /** In the order in which they apply. */
  loras: { name: string; file: string; scale: number }[];
  /** What the user should know; more may come while it is used. */
  notes: string[];
}

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
 * Finds a model, downloading it where that is needed.
 *
 * @returns Its folder or URL.
 */
export async function locateModel(
  model: string | undefined,
  { signal, progress }: { signal: AbortSignal; progress: Progress },
): Promise<string> {
  return await findModel(model ?? DEFAULT_MODEL, {
    signal,
    onProgress: ({ loaded, total }) => progress.show("downloading", loaded, total),
  });
}

/**
 * Loads a pipeline from a folder.
 *
 * @param model Its folder or URL.
 * @param tools `warn` is told what the user should know, at once and while the pipeline is used; `jobs` are what it is to paint.
 * @throws {UsageError} when the folder is no pipeline, or a LoRA is missing.
 */
export async function openPipeline(
  model: string,
  { dtype, backend, lora = [], controlnet, hed: detector, vaeTiling, vaeSlicing, ...memory }: ModelFlags,
  { signal, progress, warn, jobs }: {
    signal: AbortSignal;
    progress: Progress;
    warn(text: string): void;
    jobs: readonly PictureJob[];
  },
): Promise<OpenedPipeline> {
  await checkLoras(lora, signal);
  const pipelines = await pipelineClass(model, signal);
  using stack = new DisposableStack();
  const device = stack.use(await Device.open({ backend }));
  await chooseTiles(device, warn);
  const [first] = jobs;
  const notes: string[] = [];
  const note = (text: string) => {
    if (notes.includes(text)) return; // a model that was freed is read again
    notes.push(text);
    warn(text);
  };
  const pipe = stack.use(
    await pipelines.fromPretrained(model, {
      device,
      dtype,
      ...memoryLoading(memory, jobs.map(({ flags }) => flags)),
      rehearse: !first ? null : (async (pipe) => {
        const { scheduler } = first.flags;
        if (scheduler !== undefined) {
          pipe.components.scheduler = await makeScheduler(findScheduler(scheduler), model, signal);
        }
        await pipe.generate(first.prompt, { ...callOptions(first, pipe), vaeTiling, vaeSlicing });
      }),
      controlnet,
      signal,
      onWarning: note,
      onProgress: ({ component, loaded, total }) => progress.show(`loading ${component}`, loaded, total),
    }),
  );
  const hed = detector === undefined
    ? undefined
    : stack.use(await HEDdetector.fromPretrained(detector, { device, offload: true, signal }));
  const worn = await wearLoras(
    pipe,
    lora,
    signal,
    (done, total) => progress.show("applying LoRAs", done, total),
  );
  worn.notes.forEach(note);
  progress.stop();
  const owned = stack.move();
  return {
    pipe,
    device,
    hed,
    model,
    loras: worn.loras,
    notes,
    decoding: { vaeTiling, vaeSlicing },
    [Symbol.dispose]: () => owned.dispose(),
  };
}
