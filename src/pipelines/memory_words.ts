// A memory plan in words. In: a plan, and what it is for. Out: a sentence for each thing that is given up.

import { formatBytes } from "../io/byte_words.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import type { Tiling } from "../vae/tiling.ts";
import type { Residence } from "./memory_stages.ts";

/** What a plan decides. */
export interface MemoryChoices {
  /** Whether a network is in memory only while it works. */
  offload: boolean;
  /** How most weights of each network are kept. */
  textEncoder?: WeightDType;
  transformer: WeightDType;
  vae?: WeightDType;
  /** Bytes for the text encoder's weights, where its blocks are read one after another. */
  textEncoderBudget?: number;
  /** Pictures at once. */
  batchSize: number;
  vaeSlicing: boolean;
  vaeTiling?: Tiling;
}

/** What a plan gives up, the largest loss first. */
export function planWords(plan: MemoryChoices, residence: Residence, pictures: number): string[] {
  const words: string[] = [];
  if (residence.transformer > 0) words.push(`the transformer's weights as ${plan.transformer}`);
  if (residence.textEncoder > 0) words.push(`the text encoder's weights as ${plan.textEncoder}`);
  if (plan.vaeTiling) words.push(`VAE tiles of ${plan.vaeTiling.tileSampleMinSize} pixels`);
  if (plan.offload) words.push("offload: one network in memory at a time");
  if (plan.textEncoderBudget !== undefined) {
    words.push(
      `the text encoder's blocks read one after another, ${formatBytes(plan.textEncoderBudget)} of them at a time`,
    );
  }
  if (plan.batchSize < pictures) words.push(`${plan.batchSize} of ${pictures} pictures at a time`);
  if (plan.vaeSlicing && plan.batchSize > 1) words.push("one picture at a time through the VAE");
  return words;
}
