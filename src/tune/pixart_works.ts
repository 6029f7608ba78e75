// The work that tiles are chosen for: PixArt's products, attentions and convolutions, as pictures with guidance have them. Nothing in.
// Out: works, the most important of each op first.

import type { WeightDType } from "../ops/weight_kernels.ts";
import { attentionWork, type AttentionWorkShape } from "./attention_work.ts";
import { convWork, type ConvWorkShape } from "./conv2d_work.ts";
import { type MatmulShape, matmulWork } from "./matmul_work.ts";
import type { TiledWork } from "./search.ts";

/** Work with the words that it can be asked for by. */
export interface PixArtWork extends TiledWork {
  words: string[];
  /** Whether a software device takes too long for it unless it is asked for by its size. */
  large: boolean;
}

const C = 1152, T5 = 4096;

/** What a software device does in a second or two, many times over. */
const LARGE_FLOPS = 2e10;

const sized = (words: string[], work: TiledWork): PixArtWork => ({ ...work, words, large: work.flops > LARGE_FLOPS });

const product = (words: string[], shape: MatmulShape, ...dtypes: WeightDType[]) =>
  dtypes.map((dtype) => sized(words, matmulWork(shape, dtype)));

/** The linear layers of a block; guidance makes two samples of a picture. */
const block = (size: number): PixArtWork[] => {
  const M = 2 * (size / 16) ** 2, words = [String(size)];
  return [
    ...product(words, { what: "mlp-up", M, K: C, N: 4 * C }, "f16"),
    ...product(words, { what: "mlp-down", M, K: 4 * C, N: C }, "f16"),
    ...product(words, { what: "qkv", M, K: C, N: 3 * C }, "f16", "f32", "int8"),
    ...product(words, { what: "proj", M, K: C, N: C }, "f16"),
  ];
};

const attentionOf = (words: string[], shape: AttentionWorkShape) =>
  (["f16", "f32"] as const).map((dtype) => sized(words, attentionWork(shape, dtype)));

const self = (size: number) => {
  const tokens = (size / 16) ** 2;
  return attentionOf([String(size)], { what: "self", heads: 16, headWidth: 72, queries: tokens, keys: tokens });
};

const conv = (words: string[], shape: ConvWorkShape) =>
  (["f16", "f32"] as const).map((dtype) => sized(["vae", ...words], convWork(shape, dtype)));

const ALL_SIZES = ["256", "512", "1024"];

/** All of them. */
export const PIXART_WORKS: readonly PixArtWork[] = [
  ...block(1024),
  ...self(1024),
  ...conv(["1024"], { side: 128, CI: 512, CO: 512 }),
  ...conv(["1024"], { side: 1024, CI: 128, CO: 128 }),
  ...product(["t5"], { what: "t5-up", M: 300, K: T5, N: 10240 }, "f16"),
  ...product(["t5"], { what: "t5-out", M: 300, K: T5, N: T5 }, "f16"),
  ...product(["t5"], { what: "t5-down", M: 300, K: 10240, N: T5 }, "f16"),
  ...product(ALL_SIZES, { what: "caption-kv", M: 600, K: C, N: 2 * C }, "f16"),
  ...attentionOf(["1024"], { what: "caption", heads: 16, headWidth: 72, queries: 4096, keys: 300, masked: true }),
  ...block(512),
  ...self(512),
  ...conv(["512"], { side: 64, CI: 512, CO: 512 }),
  ...conv(["512"], { side: 256, CI: 256, CO: 256 }),
  ...attentionOf(["t5"], { what: "t5", heads: 64, headWidth: 64, queries: 300, keys: 300, masked: true, biased: true }),
  ...block(256),
  ...self(256),
  ...conv(["256"], { side: 32, CI: 512, CO: 512 }),
  ...conv(["256"], { side: 256, CI: 128, CO: 128 }),
  ...product(ALL_SIZES, { what: "adaln", M: 2, K: C, N: 6 * C }, "f16"),
  ...product(ALL_SIZES, { what: "lora", M: 512, K: C, N: 16 }, "f16"),
];
