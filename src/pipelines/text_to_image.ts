// Text to image: the stages of PixArt-α and PixArt-Σ put together. In: a prompt or its embeddings, and maybe pictures to start from.
// Out: pictures, or numbers. Each stage can be called alone: encodePrompt, prepareLatents, denoise, decode.

import { OutOfMemoryError, UsageError } from "../errors.ts";
import type { Scope } from "../gpu/arena.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import type { Image } from "../io/image.ts";
import { countNonFinite } from "../ops/count_non_finite.ts";
import { mixNoise } from "../ops/mix_noise.ts";
import { checkLatents, joined, samplesOf, teller } from "./batch_parts.ts";
import { type ControlPart, encodeCondition } from "./control_condition.ts";
import { type Decoded, decodeLatents, readChecked } from "./decoding.ts";
import { denoise, type DenoiseOptions } from "./denoising.ts";
import type { GenerateOptions, GenerateResult, HostTensor, StepInfo } from "./generate_options.ts";
import { type KeptPart, startFromImages } from "./image_start.ts";
import { describeImages } from "./metadata.ts";
import { type BatchPart, NoiseSource } from "./noise_source.ts";
import { type PictureCall, picturesAtOnce, type PictureSize, type PipelineTraits, planCall } from "./picture_call.ts";
import { Pipeline } from "./pipeline.ts";
import {
  encodeCaptions,
  type EncodedCaptions,
  type EncodedPrompt,
  encodePrompt,
  type EncodePromptOptions,
} from "./prompt_encoding.ts";

/** How latents become images. */
export interface ImageOptions
  extends Pick<GenerateOptions, "height" | "width" | "vaeTiling" | "vaeSlicing" | "signal"> {
  outputType?: "pil" | "np" | "pt";
}

/** A text-to-image pipeline; see PixArtSigmaPipeline and PixArtAlphaPipeline. */
export abstract class TextToImagePipeline extends Pipeline {
  protected abstract readonly traits: PipelineTraits;

  /**
   * Encodes prompts, and negatives for guidance.
   *
   * @returns Embeddings on the GPU; the caller disposes them.
   */
  encodePrompt(
    prompt: string | readonly string[] | undefined,
    options: EncodePromptOptions = {},
  ): Promise<EncodedPrompt> {
    const { maxSequenceLength = this.traits.maxSequenceLength } = options;
    return encodePrompt(this.#textStage, prompt, { ...options, maxSequenceLength });
  }

  get #textStage() {
    const { tokenizer, textEncoder } = this.components;
    return { device: this.device, tokenizer, textEncoder };
  }

  /**
   * The latents that a run starts from: the seed's noise, or what is given, times the scheduler's initial sigma.
   *
   * @param size Pixels of the picture.
   * @param sigma Of a plan that was made before another set the scheduler.
   * @returns [batch, 4, h, w]; the caller disposes it.
   * @throws {ShapeError} when the given latents are of another shape.
   */
  prepareLatents(
    batch: number,
    size: PictureSize,
    from: NoiseSource | Tensor | HostTensor,
    sigma: number = this.components.scheduler.initNoiseSigma,
  ): Tensor {
    const shape = this.#latentShape(batch, size);
    using scope = this.device.arena.scope();
    const noise = this.#noiseOf(scope, shape, from);
    const latents = this.device.tensor(shape, "f32", "latents");
    this.#scale(latents, noise, sigma);
    return latents;
  }

  #latentShape(batch: number, { height, width }: PictureSize): number[] {
    const factor = this.vaeScaleFactor;
    const { inChannels } = this.components.transformer.config;
    return [batch, inChannels, Math.floor(height / factor), Math.floor(width / factor)];
  }

  /** Noise on the GPU, drawn or given. */
  #noiseOf(scope: Scope, shape: readonly number[], from: NoiseSource | Tensor | HostTensor): Tensor {
    const data = from instanceof NoiseSource ? { data: from.draw(shape), shape } : from;
    checkLatents(data, shape);
    return data instanceof Tensor ? data : new Recorder(this.device).within(scope).upload(data.data, shape);
  }

  #scale(latents: Tensor, noise: Tensor, sigma: number): void {
    const rec = new Recorder(this.device);
    mixNoise(rec, latents, { clean: noise, noise, keep: 0, add: sigma });
    rec.submit();
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
    const { transformer, vae } = this.components;
    return denoise(this.device, transformer, { vae, ...options });
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
   * @throws {OutOfMemoryError} when the GPU has no memory for a single picture.
   * @throws The signal's reason when it was aborted.
   */
  async generate(
    prompt: string | readonly string[] | undefined,
    options: GenerateOptions = {},
  ): Promise<GenerateResult> {
    const { components, traits, vaeScaleFactor, defaultSize, device } = this;
    const called = { components, traits, vaeScaleFactor, defaultSize };
    const { signal, maxSequenceLength = traits.maxSequenceLength, cleanCaption = true } = options;
    const planned = planCall(called, prompt, options);
    signal?.throwIfAborted();
    const { guidance, painted } = planned;
    const atOnce = options.batchSize ?? picturesAtOnce(called, painted, guidance.captions.length);
    const tokens = Math.min(maxSequenceLength, components.tokenizer?.modelMaxLength ?? Infinity);
    const call = components.memory?.fit(planned, { tokens, atOnce }) ?? planned;
    using captions = await encodeCaptions(this.#textStage, prompt, {
      ...options,
      guidance,
      cleanCaption,
      maxSequenceLength,
    });
    const { batch } = captions;
    const tell = teller(call.plan.steps.length, batch, options.onStep);
    let most = call.options.batchSize ?? atOnce;
    const parts: Decoded[] = [];
    for (let start = 0; start < batch;) {
      const part = { start, count: Math.min(most, batch - start), batch };
      try {
        parts.push(await this.#paint(call, captions, part, (info) => tell(info, part)));
        start += part.count;
      } catch (error) {
        if (!(error instanceof OutOfMemoryError) || part.count === 1) throw error;
        // Nobody says beforehand how much memory a GPU has.
        device.arena.trim();
        most = Math.ceil(part.count / 2);
      }
    }
    const images = parts.flatMap(({ images }) => images);
    describeImages(images, call, { ...components, model: this.modelName, adapters: this.adapters });
    return { images, output: joined(parts), seed: call.seed, warnings: [...captions.warnings] };
  }

  /** Paints some pictures of a batch. */
  async #paint(
    call: PictureCall,
    captions: EncodedCaptions,
    part: BatchPart,
    onStep: (info: StepInfo) => Promise<void>,
  ): Promise<Decoded> {
    const { plan: { steps: plan }, guidance, seed, micro, size } = call;
    const { signal, outputType = "pil", vaeTiling, vaeSlicing } = call.options;
    using prompt = captions.gather(part);
    const noise = new NoiseSource(seed ?? 0, part);
    using scope = this.device.arena.scope();
    const { latents, kept } = await this.#start(scope, call, part, noise);
    const control = await this.#steer(scope, call, part);
    const rec = new Recorder(this.device).within(scope);
    const nonFinite = rec.upload(new Uint32Array(plan.length + 1), [plan.length + 1]);
    const steps = plan.map((_, row) => `the latents after step ${row + 1} of ${plan.length}`);
    const checks = [
      { stages: ["the text encoder's output"], counts: countNonFinite(rec, prompt.embeds) },
      {
        stages: ["the latents that the run starts from", ...steps],
        counts: countNonFinite(rec, latents, { counts: nonFinite, at: 0 }),
      },
    ];
    rec.submit();
    const run = { latents, prompt, plan, guidance, noise, micro, kept, control, nonFinite, signal };
    for await (const info of this.denoise(run)) await onStep(info);
    if (outputType !== "latent") {
      return await this.#decode(latents, { outputType, ...size, vaeTiling, vaeSlicing, signal }, checks);
    }
    const data = await readChecked(this.device, checks, latents) as Float32Array;
    return { images: [], output: { data, shape: latents.shape } };
  }

  /** Where a run starts: at noise, or at pictures with some. */
  async #start(
    scope: Scope,
    { plan, painted, strength, options }: PictureCall,
    part: BatchPart,
    noise: NoiseSource,
  ): Promise<{ latents: Tensor; kept?: KeptPart }> {
    const { device, components: { vae } } = this;
    const { latents: given, numImagesPerPrompt: perPrompt = 1, vaeTiling: tiling, signal } = options;
    const shape = this.#latentShape(part.count, painted);
    if (given) checkLatents(given, this.#latentShape(part.batch, painted));
    const own = given && samplesOf(given, part);
    if (strength !== undefined && vae) {
      const noiseGiven = own && ((scope: Scope) => this.#noiseOf(scope, shape, own));
      const start = {
        vae,
        options,
        plan,
        strength,
        part,
        perPrompt,
        ...painted,
        tiling,
        random: noise,
        noise: noiseGiven,
        signal,
      };
      return await startFromImages(device, scope, start);
    }
    const latents = scope.tensor(shape);
    this.#scale(latents, this.#noiseOf(scope, shape, own ?? noise), plan.initNoiseSigma);
    return { latents };
  }

  /** What steers a run, where a ControlNet does. */
  async #steer(scope: Scope, call: PictureCall, part: BatchPart): Promise<ControlPart | undefined> {
    const { control, painted, options: { numImagesPerPrompt: perPrompt = 1, vaeTiling: tiling, signal } } = call;
    const { device, components: { vae } } = this;
    if (!control || !vae) return undefined;
    return await encodeCondition(device, scope, { vae, control, part, perPrompt, ...painted, tiling, signal });
  }

  async #decode(
    latents: Tensor,
    { outputType = "pil", vaeTiling: tiling, vaeSlicing: slicing, ...options }: ImageOptions,
    checks: Parameters<typeof decodeLatents>[4],
  ): Promise<Decoded> {
    const { vae } = this.components;
    if (!vae) throw new UsageError("Cannot decode latents as the pipeline needs a VAE: ask for outputType latent");
    const layout = outputType === "pil" ? "pixels" : outputType === "pt" ? "nchw" : "nhwc";
    return await decodeLatents(this.device, vae, latents, { ...options, tiling, slicing, layout }, checks);
  }
}
