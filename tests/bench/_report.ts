// A report as a run of the bench makes it, with numbers that are easy to reckon with.

import { withTiming } from "../../bench/contest.ts";
import type { Report, Row } from "../../bench/report.ts";

/** Ceilings that are easy to reckon with. */
export const CEILINGS = { f32: 1e12, f16: 4e12, copy: 1e11, roundTripMs: 0.1 };

/** A row of ours with times as given. */
export function row(name: string, minMs: number, more: Partial<Row> = {}): Row {
  const timing = { minMs, medianMs: 2 * minMs, spread: 1, rounds: 4, repetitions: 1, clock: "gpu" as const };
  const bare: Row = {
    ...{ op: "matmul", shape: "proj 8x8x8", dtype: "f32", name, kind: "chosen" as const },
    ...{ flops: 1e9, bytes: 1e3, ok: true },
    ...more,
  };
  return withTiming(bare, timing, CEILINGS);
}

/** A run in which one kernel was measured beside four peers, one of them wrong. */
export const REPORT: Report = {
  schema: 1,
  date: "2026-11-27T12:00:00.000Z",
  commit: "abcdef0",
  words: [],
  seconds: 12,
  load: [0.5, 1],
  machine: {
    ...{
      device: "A <fast> GPU",
      vendor: "",
      architecture: "",
      backend: "deno",
      driver: "Mesa 25.0.7",
      software: false,
    },
    ...{ features: [], subgroupSize: 32, os: "linux x86_64", cores: 2, deno: "2.9.6" },
  },
  ceilings: CEILINGS,
  host: { dispatchUs: 2, steps: [] },
  rows: [
    row("wide", 2),
    row("tfjs", 20, { kind: "peer" }),
    row("jax-js", 12, { kind: "peer" }),
    row("onnxruntime-web", 1, { kind: "peer", ok: false, note: "wrong: off by 2.0e-1" }),
    row("PyTorch fp16", 1, { kind: "peer", dtype: "f16" }),
  ],
  skipped: [],
};
