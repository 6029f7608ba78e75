// Norms at the shapes of PixArt-Σ: layer_norm with adaLN's modulation, T5's rms_norm, the VAE's group_norm with SiLU.

import type { Device } from "../../src/gpu/device.ts";
import { groupNorm } from "../../src/ops/group_norm.ts";
import { layerNorm } from "../../src/ops/layer_norm.ts";
import { rmsNorm } from "../../src/ops/rms_norm.ts";
import { disposing, numbers, sample } from "../../src/tune/work.ts";
import type { Case } from "../case.ts";

const EPS = 1e-6, GROUPS = 32;

/** Reductions within a subgroup have the names of the portable ones; this is what chooses them. */
const variantOf = (device: Device) => device.subgroupSize === 8 ? "subgroup" : undefined;

function moments(values: Float32Array): { mean: number; deviation: number } {
  let sum = 0, squares = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / values.length + EPS) };
}

function layerNormCase(B: number, N: number, word: string, quick = false): Case {
  const C = 1152;
  const input = () => numbers(B * N * C, 1), table = () => numbers(B * 2 * C, 2);
  return {
    op: "layer_norm",
    shape: `${B}x${N}x${C}`,
    dtype: "f32",
    words: [word],
    flops: 8 * B * N * C,
    bytes: 8 * B * N * C,
    tolerance: 1e-5,
    quick,
    open(device) {
      const x = device.upload(input(), [B, N, C]), tensor = device.upload(table(), [B, 2, C]);
      const shift = { tensor, stride: 2 * C, offset: 0 }, scale = { tensor, stride: 2 * C, offset: C };
      return Promise.resolve({
        variant: variantOf(device),
        record: (rec) => layerNorm(rec, x, { eps: EPS, shift, scale }),
        [Symbol.dispose]: disposing(x, tensor),
      });
    },
    expected() {
      const x = input(), rows = table();
      return sample(x.length, (place) => {
        const c = place % C, row = Math.floor(place / C), at = Math.floor(row / N) * 2 * C;
        const { mean, deviation } = moments(x.subarray(row * C, (row + 1) * C));
        return (x[place] - mean) / deviation * (1 + rows[at + C + c]) + rows[at + c];
      });
    },
    peer: B > 1 ? undefined : {
      kind: "layer_norm",
      extents: { N, C },
      inputs: () => {
        const rows = table();
        return Promise.resolve({
          x: { shape: [N, C], data: input() },
          shift: { shape: [C], data: rows.slice(0, C) },
          scale: { shape: [C], data: rows.slice(C).map((value) => 1 + value) },
        });
      },
    },
  };
}

function rmsNormCase(rows: number, C: number): Case {
  const input = () => numbers(rows * C, 1), weight = () => numbers(C, 2);
  return {
    op: "rms_norm",
    shape: `${rows}x${C}`,
    dtype: "f32",
    words: ["t5"],
    flops: 4 * rows * C,
    bytes: 8 * rows * C,
    tolerance: 1e-5,
    open(device) {
      const x = device.upload(input(), [rows, C]), w = device.upload(weight(), [C]);
      return Promise.resolve({
        variant: variantOf(device),
        record: (rec) => rmsNorm(rec, x, w, EPS),
        [Symbol.dispose]: disposing(x, w),
      });
    },
    expected() {
      const x = input(), w = weight();
      return sample(x.length, (place) => {
        const row = Math.floor(place / C);
        const squares = x.subarray(row * C, (row + 1) * C).reduce((sum, value) => sum + value * value, 0);
        return x[place] / Math.sqrt(squares / C + EPS) * w[place % C];
      });
    },
  };
}

function groupNormCase(side: number, C: number, word: string, { peers = false, large = false } = {}): Case {
  const P = side * side, width = C / GROUPS;
  const input = () => numbers(P * C, 1), weight = () => numbers(C, 2), bias = () => numbers(C, 3);
  return {
    op: "group_norm",
    shape: `silu ${side}x${side}x${C}`,
    dtype: "f32",
    words: ["vae", word],
    flops: 12 * P * C,
    bytes: 12 * P * C, // the moments need all pixels before the first is written: x is read twice
    tolerance: 1e-5,
    large,
    open(device) {
      const x = device.upload(input(), [1, side, side, C]);
      const w = device.upload(weight(), [C]), b = device.upload(bias(), [C]);
      return Promise.resolve({
        variant: variantOf(device),
        record: (rec) => groupNorm(rec, x, { groups: GROUPS, eps: EPS, weight: w, bias: b, silu: true }),
        [Symbol.dispose]: disposing(x, w, b),
      });
    },
    expected() {
      const x = input(), w = weight(), b = bias();
      const groups = Array.from(
        { length: GROUPS },
        (_, group) =>
          moments(Float32Array.from({ length: P * width }, (_, i) => {
            return x[Math.floor(i / width) * C + group * width + i % width];
          })),
      );
      return sample(x.length, (place) => {
        const c = place % C, { mean, deviation } = groups[Math.floor(c / width)];
        const y = (x[place] - mean) / deviation * w[c] + b[c];
        return y / (1 + Math.exp(-y));
      });
    },
    peer: !peers ? undefined : {
      kind: "group_norm",
      extents: { side, C, groups: GROUPS },
      inputs: () =>
        Promise.resolve({
          x: { shape: [1, side, side, C], data: input() },
          weight: { shape: [C], data: weight() },
          bias: { shape: [C], data: bias() },
        }),
    },
  };
}

/** All of them. */
export const normCases: readonly Case[] = [
  layerNormCase(2, 256, "256"),
  layerNormCase(2, 1024, "512"),
  layerNormCase(1, 4096, "1024", true),
  rmsNormCase(300, 4096),
  groupNormCase(64, 512, "512"),
  groupNormCase(128, 128, "256", { peers: true }),
  groupNormCase(256, 128, "256"),
  groupNormCase(512, 256, "1024", { large: true }),
];
