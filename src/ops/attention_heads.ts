// What attention works on: heads within rows of larger matrices, and what is done with them. Types only.

import type { Tensor } from "../gpu/tensor.ts";
import type { AttentionVariant } from "./attention_variants.ts";

/** Heads within rows of a matrix: head h of token t of sample b starts at `offset + (b * tokens + t) * stride + h * D`. */
export interface Heads {
  /** f32, or f16 where `attentionTakesHalves`; rows may hold more than these heads, such as q, k and v side by side. */
  tensor: Tensor;
  /** Floats from one token to the next. */
  stride: number;
  /** Floats before the first head of the first token. */
  offset: number;
}

/** Extents of an attention, and what is added to its scores. */
export interface AttentionOptions {
  /** B. */
  batch: number;
  /** H. */
  heads: number;
  /** D, a multiple of 4. */
  headWidth: number;
  /** N, queries a sample. */
  queries: number;
  /** Nk, keys a sample. */
  keys: number;
  /** Multiplies q k' before anything is added. */
  scale: number;
  /** [B, Nk] f32, added to the scores of a key: 0 to see it, -10000 or the lowest float not to. */
  mask?: Tensor;
  /** Which sample of the mask the first one is; 0 when not given. */
  firstMasked?: number;
  /** [H, N + Nk - 1] f32: the score of query i for key j gets element j - i + N - 1. */
  relativeBias?: Tensor;
  /** Whether q, k, v and the weights may be rounded to halves where that is faster; sums are f32 all the same. */
  halves?: boolean;
  /** Whether the result may be halves, which it is where the kernel can; for what a matmul reads next. */
  toHalves?: boolean;
  /** A kernel other than the fastest for this device. */
  variant?: AttentionVariant;
}

/** Some of the keys of a sample, with their values. */
export interface KeysValues {
  k: Heads;
  v: Heads;
  /** How many there are. */
  keys: number;
}
