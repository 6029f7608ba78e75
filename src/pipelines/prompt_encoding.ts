// Prompts become embeddings. In: texts, or embeddings that the caller has. Out: one batch for the transformer, negatives first.

import { UsageError } from "../errors.ts";
import type { Scope } from "../gpu/arena.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { preprocessCaption } from "../text/caption.ts";
import type { T5EncoderModel } from "../text/t5_encoder.ts";
import type { T5Tokenizer } from "../text/tokenizer.ts";
import type { EmbeddingOptions, HostTensor } from "./generate_options.ts";
import { type CaptionKind, classifierFree, type Guidance, UNGUIDED } from "./guidance.ts";

/** What turns text into embeddings. */
export interface TextStage {
  device: Device;
  tokenizer?: T5Tokenizer;
  textEncoder?: T5EncoderModel;
}

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

/** Samples of embeddings with their masks: [B, L, C] and [B * L]. */
interface Samples {
  embeds: Tensor;
  mask: ArrayLike<number>;
}

async function encodeTexts(
  { tokenizer, textEncoder }: TextStage,
  texts: readonly string[],
  length: number,
  scope: Scope,
  warnings: string[],
  signal: AbortSignal | undefined,
): Promise<Samples> {
  if (!tokenizer || !textEncoder) {
    throw new UsageError(
      "Cannot encode a prompt as the pipeline needs a tokenizer and a text encoder: give promptEmbeds",
    );
  }
  const maxLength = Math.min(length, tokenizer.modelMaxLength);
  const encodings = texts.map((text) => tokenizer.encode(text, { maxLength, padding: true, truncation: true }));
  for (const { truncatedText } of encodings) {
    if (truncatedText) warnings.push(`The prompt was cut after ${maxLength} tokens; lost: "${truncatedText}"`);
  }
  const ids = encodings.flatMap(({ inputIds }) => [...inputIds]);
  const mask = encodings.flatMap(({ attentionMask }) => [...attentionMask]);
  return { embeds: await textEncoder.encode(scope, ids, texts.length, mask, { signal }), mask };
}

function onDevice(scope: Scope, device: Device, embeds: Tensor | HostTensor): Tensor {
  if (embeds instanceof Tensor) return embeds;
  return new Recorder(device).within(scope).upload(embeds.data, embeds.shape);
}

function given(scope: Scope, device: Device, embeds: Tensor | HostTensor, mask: ArrayLike<number>): Samples {
  return { embeds: onDevice(scope, device, embeds), mask };
}

/** Lines samples up in one batch, in the order named: `[source, sample]` each. */
function gather(
  device: Device,
  scope: Scope,
  order: readonly [Samples, number][],
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
 * @returns Embeddings that the caller disposes.
 * @throws {UsageError} when there is no text encoder for a text.
 */
export async function encodePrompt(
  stage: TextStage,
  prompt: string | readonly string[] | undefined,
  options: EncodePromptOptions & { maxSequenceLength: number },
): Promise<EncodedPrompt> {
  const { device } = stage;
  const { doClassifierFreeGuidance = true, numImagesPerPrompt = 1, cleanCaption = false } = options;
  const { captions, sharesMask = false } = options.guidance ??
    (doClassifierFreeGuidance ? classifierFree(1) : UNGUIDED);
  const guided = captions.includes("negative");
  const { promptEmbeds, promptAttentionMask, negativePromptEmbeds, negativePromptAttentionMask } = options;
  const warnings: string[] = [];
  const scope = device.arena.scope();
  try {
    using work = device.arena.scope();
    const clean = (text: string) => preprocessCaption(text, cleanCaption);
    const prompts = (prompt === undefined ? [] : typeof prompt === "string" ? [prompt] : prompt).map(clean);
    const batch = promptEmbeds ? promptEmbeds.shape[0] : prompts.length;
    const { negativePrompt = "" } = options;
    const negatives = !guided || negativePromptEmbeds
      ? []
      : (typeof negativePrompt === "string" ? Array(batch).fill(negativePrompt) : negativePrompt).map(clean);
    // Negatives are as long as the prompts they go with.
    const length = promptEmbeds ? promptEmbeds.shape[1] : options.maxSequenceLength;
    const unique = [...new Set([...prompts, ...negatives])];
    const texts = unique.length > 0
      ? await encodeTexts(stage, unique, length, work, warnings, options.signal)
      : undefined;
    const fromText = (text: string): [Samples, number] => [texts!, unique.indexOf(text)];
    const samples = (embeds?: Tensor | HostTensor, mask?: ArrayLike<number>): [Samples, number][] => {
      if (!embeds || !mask) return [];
      const source = given(work, device, embeds, mask);
      return Array.from({ length: embeds.shape[0] }, (_, i) => [source, i]);
    };
    const positive = promptEmbeds ? samples(promptEmbeds, promptAttentionMask) : prompts.map(fromText);
    const negative = negativePromptEmbeds
      ? samples(negativePromptEmbeds, negativePromptAttentionMask)
      : negatives.map(fromText);
    const repeated = (entries: [Samples, number][]) =>
      entries.flatMap((entry) => Array<[Samples, number]>(numImagesPerPrompt).fill(entry));
    const asked = { negative: repeated(negative), prompt: repeated(positive) };
    const { embeds, mask } = gather(device, scope, captions.flatMap((kind) => asked[kind]));
    const size = mask.length / captions.length, start = captions.indexOf("prompt") * size;
    if (sharesMask) captions.forEach((_, part) => mask.copyWithin(part * size, start, start + size));
    return new EncodedPrompt(embeds, mask, asked.prompt.length, captions, warnings, scope);
  } catch (error) {
    scope.dispose();
    throw error;
  }
}
