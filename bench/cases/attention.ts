// attention at the shapes of PixArt-Σ: tokens to tokens, tokens to the caption, T5 with its bias, the VAE's one wide head.

import type { FloatDType } from "../../src/ops/weight_kernels.ts";
import { attentionInputs, attentionWork, type AttentionWorkShape } from "../../src/tune/attention_work.ts";
import type { Case } from "../case.ts";

interface Shape extends AttentionWorkShape {
  words: string[];
  peers?: boolean;
  quick?: boolean;
}

const self = (tokens: number, word: string, quick = false): Shape => {
  return { what: "self", heads: 16, headWidth: 72, queries: tokens, keys: tokens, words: [word], peers: true, quick };
};
const captions = (tokens: number, word: string): Shape => {
  return { what: "caption", heads: 16, headWidth: 72, queries: tokens, keys: 300, masked: true, words: [word] };
};
const vae = (pixels: number, word: string): Shape => {
  return { what: "vae", heads: 1, headWidth: 512, queries: pixels, keys: pixels, words: ["vae", word] };
};

const SHAPES: Shape[] = [
  self(256, "256"),
  self(1024, "512", true),
  self(4096, "1024"),
  captions(256, "256"),
  captions(1024, "512"),
  captions(4096, "1024"),
  { what: "t5", heads: 64, headWidth: 64, queries: 300, keys: 300, masked: true, biased: true, words: ["t5"] },
  vae(1024, "256"),
  vae(4096, "512"),
  vae(16384, "1024"),
];

function attentionCase(shape: Shape, dtype: FloatDType): Case {
  const { heads, headWidth, queries, keys, words, peers, quick } = shape;
  return {
    ...attentionWork(shape, dtype),
    words,
    only: dtype === "f16" ? "gpu" : undefined, // a CPU does the same
    quick,
    large: queries * keys * heads * headWidth > 1e10,
    peer: !peers ? undefined : {
      kind: "attention",
      extents: { heads, headWidth, queries, keys },
      inputs: () => {
        const { q, k, v } = attentionInputs(shape);
        const array = (data: Float32Array, tokens: number) => ({ shape: [tokens, heads, headWidth], data });
        return Promise.resolve({ q: array(q, queries), k: array(k, keys), v: array(v, keys) });
      },
    },
  };
}

/** All of them. */
export const attentionCases: readonly Case[] = SHAPES.flatMap((shape) => [
  attentionCase(shape, "f32"),
  attentionCase(shape, "f16"),
]);
