// Texts become embeddings, each different one once. In: texts, which may weigh their words. Out: samples of embeddings with their masks.

import { UsageError } from "../errors.ts";
import type { Scope } from "../gpu/arena.ts";
import type { Device } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { weighTokens } from "../ops/weigh_tokens.ts";
import { encodeWeighted, type WeightedEncoding } from "../text/prompt_weights.ts";
import type { T5EncoderModel } from "../text/t5_encoder.ts";
import type { T5Tokenizer } from "../text/tokenizer.ts";
import { textsAtOnce } from "./activation_bytes.ts";

/** What turns text into embeddings. */
export interface TextStage {
  device: Device;
  tokenizer?: T5Tokenizer;
  textEncoder?: T5EncoderModel;
}

/** Samples of embeddings with their masks: [B, L, C] and [B * L]. */
export interface Samples {
  embeds: Tensor;
  mask: ArrayLike<number>;
}

/** One caption: a sample of some embeddings. */
export type Caption = readonly [from: Samples, sample: number];

/** How texts are encoded. */
export interface TextOptions {
  /** L, tokens of a text. */
  length: number;
  /** Where `(word:1.3)` weighs words, whether texts are cleaned when that was read. */
  weighing?: { clean: boolean };
  signal?: AbortSignal;
}

/** What weights are relative to: nothing but padding, all of it seen. */
function emptyEncoding(tokenizer: T5Tokenizer, length: number): WeightedEncoding {
  return {
    inputIds: new Int32Array(length).fill(tokenizer.padTokenId),
    attentionMask: new Int32Array(length).fill(1),
  };
}

/** Weighs the tokens of captions, of which the last is that of the empty text. */
function weigh(device: Device, captions: readonly Caption[], encodings: readonly WeightedEncoding[]): void {
  using scope = device.arena.scope();
  const rec = new Recorder(device).within(scope);
  const [{ embeds: from }, at] = captions[captions.length - 1];
  const item = [1, from.dim(1), from.dim(2)];
  const view = (embeds: Tensor, sample: number) => embeds.view(item, sample * item[1] * item[2]);
  const empty = rec.tensor(item);
  rec.copy(view(from, at), empty);
  captions.forEach(([{ embeds }, sample], i) => {
    const { weights } = encodings[i];
    if (weights) weighTokens(rec, view(embeds, sample), empty, rec.upload(weights, [1, item[1]]));
  });
  rec.submit();
}

/**
 * Encodes texts.
 *
 * @param scope Holds the embeddings.
 * @param warnings Gets what was cut from the texts.
 * @returns A caption of each.
 * @throws {UsageError} when there is no text encoder.
 */
export async function encodeTexts(
  { device, tokenizer, textEncoder }: TextStage,
  texts: readonly string[],
  { length, weighing, signal }: TextOptions,
  scope: Scope,
  warnings: string[],
): Promise<Caption[]> {
  if (!tokenizer || !textEncoder) {
    throw new UsageError(
      "Cannot encode a prompt as the pipeline needs a tokenizer and a text encoder: give promptEmbeds, and with guidance " +
        "negativePromptEmbeds",
    );
  }
  const maxLength = Math.min(length, tokenizer.modelMaxLength);
  const encodings: WeightedEncoding[] = texts.map((text) =>
    weighing
      ? encodeWeighted(tokenizer, text, { ...weighing, maxLength })
      : tokenizer.encode(text, { maxLength, padding: true, truncation: true })
  );
  for (const { truncatedText } of encodings) {
    if (truncatedText) warnings.push(`The prompt was cut after ${maxLength} tokens; lost: "${truncatedText}"`);
  }
  const isWeighed = encodings.some(({ weights }) => weights !== undefined);
  if (isWeighed) encodings.push(emptyEncoding(tokenizer, maxLength));
  const most = textsAtOnce(textEncoder.config, device.limits, maxLength);
  const captions: Caption[] = [];
  await using _held = await textEncoder.use({ signal });
  for (let start = 0; start < encodings.length; start += most) {
    const run = encodings.slice(start, start + most);
    const ids = run.flatMap(({ inputIds }) => [...inputIds]);
    const mask = run.flatMap(({ attentionMask }) => [...attentionMask]);
    const samples = { embeds: await textEncoder.encode(scope, ids, run.length, mask, { signal }), mask };
    captions.push(...run.map((_, i): Caption => [samples, i]));
  }
  if (isWeighed) weigh(device, captions, encodings);
  return captions.slice(0, texts.length);
}
