// Text to image: the stages of PixArt-α and PixArt-Σ put together. In: a prompt or its embeddings. Out: pictures, or numbers.
// Each stage can be called alone: encodePrompt, prepareLatents, denoise, decode.

import { ShapeError, UsageError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { formatShape, Tensor } from "../gpu/tensor.ts";
import { Image } from "../io/image.ts";
import type { AdaptedModel } from "../layers/adapted_model.ts";
import type { AdapterInfo } from "../layers/adapters.ts";
import { countNonFinite } from "../ops/count_non_finite.ts";
import { Generator } from "../random/generator.ts";
import type { StepPlan } from "../schedulers/scheduler.ts";
import { type AspectRatioTable, classifyHeightWidthBin } from "./aspect_ratio_bins.ts";
import type { PipelineComponents } from "./components.ts";
import { decodeLatents, readChecked } from "./decoding.ts";
import { denoise, type DenoiseOptions } from "./denoising.ts";
import {
  checkInputs,
  type GenerateOptions,
  type GenerateResult,
  type HostTensor,
  type StepInfo,
} from "./generate_options.ts";
import { classifierFree, UNGUIDED } from "./guidance.ts";
import { modelLabel, pictureMetadata } from "./metadata.ts";
import { NoiseSource } from "./noise_source.ts";
import { perturbed } from "./pag.ts";
import { type EncodedPrompt, encodePrompt, type EncodePromptOptions } from "./prompt_encoding.ts";

/** How latents become images. */
export interface ImageOptions
  extends Pick<GenerateOptions, "height" | "width" | "vaeTiling" | "vaeSlicing" | "signal"> {
  outputType?: "pil" | "np" | "pt";
}

/** What differs between the pipelines. */
export interface TextToImageTraits {
  /** Tokens of a prompt unless the caller says otherwise. */
  maxSequenceLength: number;
  /** The sizes that a checkpoint of this sample size was trained for; nothing where there is no table. */
  bins(sampleSize: number): AspectRatioTable | undefined;
}

const DEFAULT_STEPS = 20;
const DEFAULT_GUIDANCE = 4.5;
const VAE_SCALE_FACTOR = 8; // without a VAE to ask
const MULTIPLE = 8; // diffusers' rule for heights and widths

/** A text-to-image pipeline; see PixArtSigmaPipeline and PixArtAlphaPipeline. */
export abstract class TextToImagePipeline implements Disposable {
  readonly device: Device;
  readonly components: PipelineComponents;
  #modelName = "";
  #owned: Disposable[] = [];
  protected abstract readonly traits: TextToImageTraits;

  /** @param components Its parts; they may be shared with other pipelines, and are not freed by this one. */
  constructor(components: PipelineComponents) {
    this.components = components;
    this.device = components.transformer.device;
  }

  /** Frees the components that it loaded itself, and the device that it opened. */
  dispose(): void {
    for (const part of this.#owned.reverse()) part[Symbol.dispose]();
    this.#owned = [];
  }

  /** Takes over parts that were loaded for it from a folder, whose name its pictures carry. */
  protected owning(parts: Disposable[], folder: string): this {
    this.#owned = parts;
    this.#modelName = modelLabel(folder);
    return this;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Pixels a latent pixel stands for, along one axis. */
  get vaeScaleFactor(): number {
    return this.components.vae?.scaleFactor ?? VAE_SCALE_FACTOR;
  }

  /** The size of a picture when none is asked for. */
  get defaultSize(): { height: number; width: number } {
    const side = this.components.transformer.config.sampleSize * this.vaeScaleFactor;
    return { height: side, width: side };
  }

  /** The transformer's LoRAs; see `AdaptedModel`. */
  get adapters(): readonly AdapterInfo[] {
    return this.components.transformer.adapters;
  }

  /** Loads a LoRA or DoRA onto the transformer and makes it the only active one; see `AdaptedModel.loadLora`. */
  loadLora(...args: Parameters<AdaptedModel["loadLora"]>): Promise<string> {
    return this.components.transformer.loadLora(...args);
  }

  /** Makes these LoRAs of the transformer the active ones; see `AdaptedModel.setAdapters`. */
  setAdapters(...args: Parameters<AdaptedModel["setAdapters"]>): Promise<void> {
    return this.components.transformer.setAdapters(...args);
  }

  /** Makes the active LoRAs part of the transformer's weights; see `AdaptedModel.fuseLora`. */
  fuseLora(...args: Parameters<AdaptedModel["fuseLora"]>): Promise<void> {
    return this.components.transformer.fuseLora(...args);
  }

  /** Takes fused LoRAs out of the transformer's weights; see `AdaptedModel.unfuseLora`. */
  unfuseLora(): Promise<void> {
    return this.components.transformer.unfuseLora();
  }

  /** Unloads a LoRA of the transformer, or all; see `AdaptedModel.unloadLora`. */
  unloadLora(name?: string): Promise<void> {
    return this.components.transformer.unloadLora(name);
  }

  /**
   * Encodes prompts, and negatives for guidance.
   *
   * @returns Embeddings on the GPU; the caller disposes them.
   */
  encodePrompt(
    prompt: string | readonly string[] | undefined,
    options: EncodePromptOptions = {},
  ): Promise<EncodedPrompt> {
    const { tokenizer, textEncoder } = this.components;
    const { maxSequenceLength = this.traits.maxSequenceLength } = options;
    return encodePrompt({ device: this.device, tokenizer, textEncoder }, prompt, { ...options, maxSequenceLength });
  }

  /**
   * The latents that a run starts from: the seed's noise, or what is given, times the scheduler's initial sigma.
   *
   * @param size Pixels of the picture.
   * @returns [batch, 4, h, w]; the caller disposes it.
   * @throws {ShapeError} when the given latents are of another shape.
   */
  prepareLatents(
    batch: number,
    { height, width }: { height: number; width: number },
    from: NoiseSource | Tensor | HostTensor,
  ): Tensor {
    const { transformer, scheduler } = this.components;
    const factor = this.vaeScaleFactor;
    const shape = [batch, transformer.config.inChannels, Math.floor(height / factor), Math.floor(width / factor)];
    const data = from instanceof NoiseSource ? from.draw(shape) : from;
    if (!(data instanceof Float32Array) && data.shape.join() !== shape.join()) {
      throw new ShapeError(
        `Cannot start from latents ${formatShape(data.shape)} as they must be ${formatShape(shape)}`,
      );
    }
    const sigma = scheduler.initNoiseSigma;
    if (data instanceof Tensor) {
      if (sigma !== 1) {
        throw new UsageError(`Cannot scale latents on the GPU by ${sigma} as this takes them from the host`);
      }
      const latents = this.device.tensor(shape, "f32", "latents");
      const rec = new Recorder(this.device);
      rec.copy(data, latents);
      rec.submit();
      return latents;
    }
    const noise = data instanceof Float32Array ? data : data.data;
    return this.device.upload(sigma === 1 ? noise : noise.map((value) => value * sigma), shape, "latents");
  }

  /**
   * Denoises latents in place, one step an iteration.
   *
   * @example
   * ```ts ignore
   * for await (const { step, steps } of pipe.denoise(options)) console.log(`${step} of ${steps}`);
   * ```
   */
  denoise(options: DenoiseOptions): AsyncGenerator<StepInfo> {
    return denoise(this.device, this.components.transformer, options);
  }

  /**
   * Decodes latents.
   *
   * @param latents [B, 4, h, w] as `denoise` left them.
   * @param options `height` and `width` resize and crop the result.
   * @returns Images, or numbers with the output types `np` and `pt`.
   */
  async decode(
    latents: Tensor | HostTensor,
    options: ImageOptions = {},
  ): Promise<{ images: Image[]; output?: HostTensor }> {
    if (latents instanceof Tensor) return await this.#decode(latents, options, []);
    using uploaded = this.device.upload(latents.data, latents.shape, "latents");
    return await this.#decode(uploaded, options, []);
  }

  /**
   * Makes pictures from a prompt.
   *
   * @param prompt One or several; nothing when `promptEmbeds` are given.
   * @throws {UsageError} when the inputs do not fit each other.
   * @throws {NumericError} when a stage made a NaN or an infinity.
   * @throws The signal's reason when it was aborted.
   */
  async generate(
    prompt: string | readonly string[] | undefined,
    options: GenerateOptions = {},
  ): Promise<GenerateResult> {
    const size = { height: options.height ?? this.defaultSize.height, width: options.width ?? this.defaultSize.width };
    const { transformer } = this.components;
    // Latents must cut into whole patches, too.
    const multiple = Math.max(MULTIPLE, this.vaeScaleFactor * transformer.config.patchSize);
    const bins = options.useResolutionBinning === false ? undefined : this.traits.bins(transformer.config.sampleSize);
    checkInputs(prompt, options, size.height, size.width, bins ? MULTIPLE : multiple);
    const { outputType = "pil", guidanceScale = DEFAULT_GUIDANCE, signal, onStep } = options;
    signal?.throwIfAborted();
    const [height, width] = bins ? classifyHeightWidthBin(size.height, size.width, bins) : [size.height, size.width];
    const painted = { height, width };
    const plan = this.#plan(options);
    const unperturbed = guidanceScale > 1 ? classifierFree(guidanceScale) : UNGUIDED;
    const guidance = perturbed(unperturbed, options, transformer.config.numLayers);
    const seed = options.seed ?? (options.latents ? undefined : Number(Generator.fromEntropy().seed));
    const noise = new NoiseSource(seed ?? 0);
    using encoded = await this.encodePrompt(prompt, {
      ...options,
      guidance,
      cleanCaption: options.cleanCaption ?? true,
    });
    using latents = this.prepareLatents(encoded.batch, painted, options.latents ?? noise);
    const micro = transformer.config.useAdditionalConditions
      ? { resolution: [height, width] as const, aspectRatio: height / width }
      : undefined;
    const run = this.denoise({ latents, prompt: encoded, plan, guidance, noise, micro, signal });
    for await (const info of run) onStep?.(info);
    const rec = new Recorder(this.device);
    using _scope = rec.scope();
    const checks = [
      { stage: "the text encoder's output", count: countNonFinite(rec, encoded.embeds) },
      { stage: "the denoised latents", count: countNonFinite(rec, latents) },
    ];
    rec.submit();
    const result = { images: [], seed, warnings: [...encoded.warnings] };
    if (outputType === "latent") {
      const data = await readChecked(this.device, checks, latents) as Float32Array;
      return { ...result, output: { data, shape: latents.shape } };
    }
    const { vaeTiling, vaeSlicing } = options;
    const decoded = await this.#decode(latents, { outputType, ...size, vaeTiling, vaeSlicing, signal }, checks);
    this.#describe(decoded.images, prompt, options, seed, size);
    return { ...result, ...decoded };
  }

  #plan({ numInferenceSteps = DEFAULT_STEPS, timesteps, sigmas }: GenerateOptions): StepPlan[] {
    const { scheduler } = this.components;
    scheduler.setTimesteps(numInferenceSteps, { timesteps, sigmas });
    return scheduler.plan();
  }

  async #decode(
    latents: Tensor,
    { outputType = "pil", vaeTiling: tiling, vaeSlicing: slicing, ...options }: ImageOptions,
    checks: Parameters<typeof decodeLatents>[4],
  ): Promise<{ images: Image[]; output?: HostTensor }> {
    const { vae } = this.components;
    if (!vae) throw new UsageError("Cannot decode latents as the pipeline needs a VAE: ask for outputType latent");
    const layout = outputType === "pil" ? "pixels" : outputType === "pt" ? "nchw" : "nhwc";
    const decoded = await decodeLatents(this.device, vae, latents, { ...options, tiling, slicing, layout }, checks);
    if (decoded.kind === "numbers") return { images: [], output: decoded.output };
    const { pixels, batch } = decoded;
    const count = decoded.height * decoded.width;
    const images = Array.from({ length: batch }, (_, i) => {
      const rgba = new Uint8Array(pixels.buffer, pixels.byteOffset + i * count * 4, count * 4);
      return new Image({ width: decoded.width, height: decoded.height, pixels: rgba });
    });
    return { images };
  }

  #describe(
    images: readonly Image[],
    prompt: string | readonly string[] | undefined,
    options: GenerateOptions,
    seed: GenerateResult["seed"],
    size: { height: number; width: number },
  ): void {
    const perPrompt = options.numImagesPerPrompt ?? 1;
    const pick = (texts: string | readonly string[] | undefined, i: number) =>
      texts === undefined || typeof texts === "string" ? texts : texts[Math.floor(i / perPrompt)];
    images.forEach((image, index) => {
      const metadata = pictureMetadata({
        prompt: pick(prompt, index),
        negativePrompt: pick(options.negativePrompt, index),
        seed: typeof seed === "object" ? seed[index] : seed,
        index: typeof seed === "object" ? 0 : index,
        batch: typeof seed === "object" ? 1 : images.length,
        numInferenceSteps: options.numInferenceSteps ?? DEFAULT_STEPS,
        guidanceScale: options.guidanceScale ?? DEFAULT_GUIDANCE,
        scheduler: this.components.scheduler,
        model: this.#modelName,
        dtype: this.components.transformer.dtype,
        adapters: this.adapters,
        maxSequenceLength: options.maxSequenceLength,
        cleanCaption: options.cleanCaption,
        useResolutionBinning: options.useResolutionBinning,
        ...size,
      });
      Object.assign(image.metadata, metadata);
    });
  }
}
