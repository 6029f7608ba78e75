// The parts of a pipeline, loaded from a folder in diffusers' layout. In: a folder. Out: tokenizer, text encoder, transformer,
// VAE and scheduler; any part the caller gives is not loaded.

import { ConfigError } from "../errors.ts";
import type { Backend } from "../gpu/backend.ts";
import { Device } from "../gpu/device.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import { floatDType, type WeightDType } from "../ops/weight_kernels.ts";
import { PixArtControlNetAdapterModel } from "../dit/controlnet.ts";
import { schedulerFromConfig, SCHEDULERS } from "../schedulers/registry.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";
import { T5Tokenizer } from "../text/tokenizer.ts";
import { measurePipeline } from "./measure_pipeline.ts";
import { type ExpectedRun, type Loading, MemoryLimit } from "./memory_limit.ts";
import { type GivenNetworks, type LoadingInfo, loadNetworks, networkOptions, type Networks } from "./networks.ts";
import { findModel } from "./presets.ts";
import { type FirstCall, rehearse, type RehearsedPipeline } from "./rehearsal.ts";

/** The parts that a pipeline is put together from. */
export interface PipelineComponents extends Networks {
  scheduler: Scheduler;
  /** Not needed where prompt embeddings are given. */
  tokenizer?: T5Tokenizer;
  /** Steers the transformer where a call has a `controlImage`. */
  controlnet?: PixArtControlNetAdapterModel;
  /** The limit of GPU memory that calls keep to, where there is one. */
  memory?: MemoryLimit;
}

/**
 * How a pipeline is loaded. A component that is given is used as it is; `null` leaves it out.
 *
 * @example Little memory, and the same pictures but for what 8 bits round
 * ```ts
 * import { DEFAULT_MODEL, PixArtSigmaPipeline } from "@pixart/webgpu";
 * const options = { offload: true, quantize: { textEncoder: "int8" } } as const;
 * using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, options);
 * await pipe.generate("a red apple on a blue background", { seed: 0, numInferenceSteps: 1 });
 * console.assert(!pipe.components.transformer.isLoaded);
 * ```
 */
export interface PipelineLoadOptions extends GivenNetworks {
  /** The device to load onto; one is opened, and owned by the pipeline, when it is not given. */
  device?: Device;
  backend?: Backend;
  /** How weights are kept: f32 is the reference, f16 half the memory. */
  dtype?: WeightDType;
  /** How the linear layers of the two large networks are kept, in place of `dtype`. */
  quantize?: { textEncoder?: WeightDType; transformer?: WeightDType };
  /** Loads each model when a stage needs it and frees it when the stage ends, so that one of them is in memory at a time. */
  offload?: boolean;
  /** Bytes for the text encoder's weights; where they take more, its blocks are read one after another for each prompt. */
  textEncoderBudget?: number;
  /**
   * Bytes of GPU memory to keep to. What must be given up for that is chosen, the least first: see `MemoryPlan`. What is given up already
   * (`offload`, `quantize`, `textEncoderBudget`) stays so.
   */
  maxMemory?: number;
  /** The largest call that `maxMemory` is planned for; each call is fitted anew. */
  maxMemoryFor?: ExpectedRun;
  scheduler?: Scheduler;
  tokenizer?: T5Tokenizer | null;
  /** A ControlNet of the transformer, or a path, URL, preset or `org/name` to load it from. */
  controlnet?: PixArtControlNetAdapterModel | string;
  /**
   * What the first call will be. It is done with a stand-in of the pipeline while weights are read, so that its kernels are compiled by
   * then. A picture as `generate` paints it by default when not given; none with `null`, nor where networks are given or left out.
   */
  rehearse?: FirstCall;
  onProgress?: (info: LoadingInfo) => void;
  /** Told in a sentence which weights are not finite numbers, when a model is read; it is loaded all the same. */
  onWarning?: (text: string) => void;
  signal?: AbortSignal;
}

/** Components with who frees them. */
export interface LoadedComponents {
  components: PipelineComponents;
  device: Device;
  /** What the pipeline frees when it is disposed: all that was not given. */
  owned: Disposable[];
}

/** What the index of a pipeline says of a component: `["diffusers", "AutoencoderKL"]`. */
function className(index: Record<string, unknown>, component: string, folder: string): string | undefined {
  const entry = index[component];
  if (entry === undefined || entry === null) return undefined;
  if (!Array.isArray(entry) || (entry[1] !== null && typeof entry[1] !== "string")) {
    throw new ConfigError(`Cannot load ${folder} as model_index.json must name a class for ${component}: ${entry}`);
  }
  return entry[1] ?? undefined;
}

const CLASSES: Record<string, readonly string[]> = {
  tokenizer: ["T5Tokenizer", "T5TokenizerFast"],
  text_encoder: ["T5EncoderModel"],
  transformer: ["PixArtTransformer2DModel", "Transformer2DModel"],
  vae: ["AutoencoderKL"],
  scheduler: Object.keys(SCHEDULERS),
};

/** How networks are loaded when nothing is planned: as asked for. */
function loadingOf({ dtype, quantize = {}, offload, textEncoderBudget }: PipelineLoadOptions): Loading {
  const { textEncoder = dtype, transformer = dtype } = quantize;
  return { offload, textEncoderBudget, forms: { textEncoder, transformer, vae: dtype } };
}

/**
 * Loads the components of a pipeline one after another, while the kernels of its first call are compiled. On failure nothing stays
 * allocated.
 *
 * @param model A path or URL with `model_index.json` and a folder for each component, a preset, or `org/name` on the hub.
 * @param make Puts the pipeline together that is rehearsed.
 * @throws {ConfigError} when a component is of a class that is not known.
 */
export async function loadComponents(
  model: string,
  options: PipelineLoadOptions,
  make: (components: PipelineComponents) => RehearsedPipeline,
): Promise<LoadedComponents> {
  const find = (name: string) =>
    findModel(name, {
      signal: options.signal,
      onProgress: ({ loaded, total }) => options.onProgress?.({ component: "download", loaded, total }),
    });
  const folder = await find(model);
  const index = await readJson(joinPath(folder, "model_index.json")) as Record<string, unknown>;
  for (const [component, known] of Object.entries(CLASSES)) {
    const name = className(index, component, folder);
    const given = component === "scheduler" && options.scheduler !== undefined;
    if (name !== undefined && !given && !known.includes(name)) {
      throw new ConfigError(`Cannot load ${folder} as its ${component} must be ${known.join(" or ")}: ${name}`);
    }
  }
  const owned: Disposable[] = [];
  try {
    const device = options.device ?? await Device.open({ backend: options.backend });
    if (!options.device) owned.push(device);
    const { signal, onProgress, onWarning } = options;
    const own = <T extends Disposable>(model: T): T => {
      owned.push(model);
      return model;
    };
    const has = (component: string) => className(index, component, folder) !== undefined;
    const controlnetPath = typeof options.controlnet === "string" ? await find(options.controlnet) : undefined;
    const scheduler = options.scheduler ?? schedulerFromConfig(
      await readJson(joinPath(folder, "scheduler", "scheduler_config.json"), { signal }),
      className(index, "scheduler", folder),
    );
    const tokenizer = options.tokenizer === null || !has("tokenizer")
      ? undefined
      : options.tokenizer ?? await T5Tokenizer.fromPretrained(folder, { subfolder: "tokenizer" });
    const { maxMemory, maxMemoryFor } = options;
    const memory = maxMemory === undefined ? undefined : new MemoryLimit(
      { ...await measurePipeline(folder, device, has, options, controlnetPath), mostTokens: tokenizer?.modelMaxLength },
      maxMemory,
      maxMemoryFor,
      options,
    );
    const loading = memory?.loading ?? loadingOf(options);
    const given: GivenNetworks = {
      textEncoder: has("text_encoder") ? options.textEncoder : null,
      transformer: options.transformer,
      vae: has("vae") ? options.vae : null,
    };
    const rehearsal = tokenizer && Object.values(given).every((network) => network === undefined)
      ? rehearse(device, options.rehearse, async (device, own) => {
        const networks = await loadNetworks(folder, { ...loading, offload: true }, {}, { device, own, signal });
        return make({ scheduler, tokenizer, memory, ...networks });
      })
      : undefined;
    const tools = { device, own, signal, onProgress, onWarning };
    const networks = await loadNetworks(folder, loading, given, tools).finally(() => rehearsal);
    const controlnet = typeof options.controlnet !== "string" ? options.controlnet : own(
      await PixArtControlNetAdapterModel.fromPretrained(controlnetPath!, {
        ...networkOptions("controlnet", loading.offload, tools),
        subfolder: undefined,
        config: networks.transformer.config,
        dtype: floatDType(options.dtype),
      }),
    );
    const components = { scheduler, tokenizer, ...networks, controlnet, memory };
    return { components, device, owned };
  } catch (error) {
    for (const part of owned.reverse()) part[Symbol.dispose]();
    throw error;
  }
}
