// Prompts become embeddings. In: texts, or embeddings that the caller has. Out: one batch for the transformer, negatives first.

import { UsageError } from "../errors.ts";
import type { Scope } from "../gpu/arena.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { preprocessCaption } from "../text/caption.ts";
import { type Caption, encodeTexts, type TextStage } from "./encode_texts.ts";
import type { EmbeddingOptions, HostTensor } from "./generate_options.ts";
import { type CaptionKind, classifierFree, type Guidance, UNGUIDED } from "./guidance.ts";

/** Options of `encodePrompt`; names and defaults are diffusers'. */
export interface EncodePromptOptions extends EmbeddingOptions {
  negativePrompt?: string | readonly string[];
  /** Whether negatives are encoded, too. */
  doClassifierFreeGuidance?: boolean;
  /** The guidance that the embeddings are for, in place of `doClassifierFreeGuidance`: what each sample is asked with. */
  guidance?: Pick<Guidance, "captions" | "sharesMask">;
  numImagesPerPrompt?: number;
  cleanCaption?: boolean;
  maxSequenceLength?: number;
  /** Whether `(word:1.3)` weighs words; see `GenerateOptions`. */
  promptWeighting?: boolean;
  /** Stops the loading of the text encoder. */
  signal?: AbortSignal;
}

/** Embeddings of a batch of prompts on the GPU. */
export class EncodedPrompt implements Disposable {
  /**
   * @param embeds [G * B, L, C] with G captions a sample: all samples of the first caption, then of the next.
   * @param mask [G * B * L], 1 keeps and 0 masks a token.
   * @param batch B, images to make.
   * @param captions [G] what each sample is asked with: negatives, then prompts, under guidance.
   * @param warnings What was cut from the prompts.
   */
  constructor(
    readonly embeds: Tensor,
    readonly mask: Float32Array,
    readonly batch: number,
    readonly captions: readonly CaptionKind[],
    readonly warnings: readonly string[],
    private readonly scope: Scope,
  ) {}

  /** Frees the embeddings. */
  dispose(): void {
    this.scope.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The captions of a batch: what each is asked with, and every different text encoded once. */
export class EncodedCaptions implements Disposable {
  /**
   * @param asked [B] captions of each kind, those of one prompt's images side by side.
   * @param guidance What each sample is asked with.
   * @param warnings What was cut from the prompts.
   */
  constructor(
    private readonly device: Device,
    private readonly scope: Scope,
    private readonly asked: Readonly<Record<CaptionKind, readonly Caption[]>>,
    private readonly guidance: Pick<Guidance, "captions" | "sharesMask">,
    readonly warnings: readonly string[],
  ) {}

  /** Images to make. */
  get batch(): number {
    return this.asked.prompt.length;
  }

  /**
   * Lines captions up for the transformer.
   *
   * @param part The images that are made at once; all when not given.
   * @returns Embeddings of their own, which the caller disposes.
   * @throws {UsageError} when prompts and negatives are of different shapes.
   */
  gather({ start, count }: { start: number; count: number } = { start: 0, count: this.batch }): EncodedPrompt {
    const { captions, sharesMask } = this.guidance;
    const scope = this.device.arena.scope();
    try {
      const order = captions.flatMap((kind) => this.asked[kind].slice(start, start + count));
      const { embeds, mask } = gather(this.device, scope, order);
      const size = mask.length / captions.length, prompt = captions.indexOf("prompt") * size;
      if (sharesMask) captions.forEach((_, part) => mask.copyWithin(part * size, prompt, prompt + size));
      return new EncodedPrompt(embeds, mask, count, captions, this.warnings, scope);
    } catch (error) {
      scope.dispose();
      throw error;
    }
  }

  /** Frees the embeddings that were not gathered. */
  dispose(): void {
    this.scope.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Embeddings that the caller has, as captions. */
function givenCaptions(
  device: Device,
  scope: Scope,
  embeds: Tensor | HostTensor | undefined,
  mask: ArrayLike<number> | undefined,
): Caption[] {
  if (!embeds || !mask) return [];
  const onDevice = embeds instanceof Tensor
    ? embeds
    : new Recorder(device).within(scope).upload(embeds.data, embeds.shape);
  const samples = { embeds: onDevice, mask };
  return Array.from({ length: embeds.shape[0] }, (_, i): Caption => [samples, i]);
}

/** Lines captions up in one batch. */
function gather(
  device: Device,
  scope: Scope,
  order: readonly Caption[],
): { embeds: Tensor; mask: Float32Array } {
  const [, tokens, channels] = order[0][0].embeds.shape;
  for (const [{ embeds }] of order) {
    if (embeds.dim(1) !== tokens || embeds.dim(2) !== channels) {
      throw new UsageError(`Cannot guide by embeddings ${embeds} as prompts and negatives must have one shape`);
    }
  }
  const rec = new Recorder(device);
  const embeds = scope.tensor([order.length, tokens, channels]);
  const mask = new Float32Array(order.length * tokens);
  order.forEach(([source, sample], i) => {
    const size = tokens * channels;
    rec.copy(source.embeds.view([size], sample * size), embeds.view([size], i * size));
    mask.set(Array.from(source.mask).slice(sample * tokens, (sample + 1) * tokens), i * tokens);
  });
  rec.submit();
  return { embeds, mask };
}

/**
 * Encodes prompts, and negatives where there is guidance; each different text once. Images of one prompt lie side by side.
 *
 * @param prompt Texts; nothing when embeddings are given.
 * @param options See `EncodePromptOptions`.
 * @returns Captions to gather, which the caller disposes.
 * @throws {UsageError} when there is no text encoder for a text.
 */
export async function encodeCaptions(
  stage: TextStage,
  prompt: string | readonly string[] | undefined,
  options: EncodePromptOptions & { maxSequenceLength: number },
): Promise<EncodedCaptions> {
  const { device } = stage;
  const { doClassifierFreeGuidance = true, numImagesPerPrompt = 1, cleanCaption = false, promptWeighting } = options;
  const guidance = options.guidance ?? (doClassifierFreeGuidance ? classifierFree(1) : UNGUIDED);
  const guided = guidance.captions.includes("negative");
  const { promptEmbeds, promptAttentionMask, negativePromptEmbeds, negativePromptAttentionMask } = options;
  const warnings: string[] = [];
  const scope = device.arena.scope();
  try {
    // Weights are read before cleaning, which leaves no parentheses.
    const clean = (text: string) => promptWeighting ? text : preprocessCaption(text, cleanCaption);
    const prompts = (prompt === undefined ? [] : typeof prompt === "string" ? [prompt] : prompt).map(clean);
    const batch = promptEmbeds ? promptEmbeds.shape[0] : prompts.length;
    const { negativePrompt = "" } = options;
    const negatives = !guided || negativePromptEmbeds
      ? []
      : (typeof negativePrompt === "string" ? Array(batch).fill(negativePrompt) : negativePrompt).map(clean);
    // Negatives are as long as the prompts they go with.
    const length = promptEmbeds ? promptEmbeds.shape[1] : options.maxSequenceLength;
    const unique = [...new Set([...prompts, ...negatives])];
    const weighing = promptWeighting ? { clean: cleanCaption } : undefined;
    const how = { length, weighing, signal: options.signal };
    const texts = unique.length > 0 ? await encodeTexts(stage, unique, how, scope, warnings) : [];
    const fromText = (text: string) => texts[unique.indexOf(text)];
    const positive = promptEmbeds
      ? givenCaptions(device, scope, promptEmbeds, promptAttentionMask)
      : prompts.map(fromText);
    const negative = negativePromptEmbeds && guided
      ? givenCaptions(device, scope, negativePromptEmbeds, negativePromptAttentionMask)
      : negatives.map(fromText);
    const repeated = (captions: Caption[]) =>
      captions.flatMap((caption) => Array<Caption>(numImagesPerPrompt).fill(caption));
    const asked = { negative: repeated(negative), prompt: repeated(positive) };
    return new EncodedCaptions(device, scope, asked, guidance, warnings);
  } catch (error) {
    scope.dispose();
    throw error;
  }
}

/**
 * Encodes prompts as `encodeCaptions` does, and lines all of them up.
 *
 * @returns Embeddings that the caller disposes.
 * @throws {UsageError} when there is no text encoder for a text.
 */
export async function encodePrompt(
  stage: TextStage,
  prompt: string | readonly string[] | undefined,
  options: EncodePromptOptions & { maxSequenceLength: number },
): Promise<EncodedPrompt> {
  using captions = await encodeCaptions(stage, prompt, options);
  return captions.gather();
}
