// How an op is timed. In: how to record it, what it computes, a check. Out: a Deno.bench whose result was checked first, and a line
// with GFLOP/s or GB/s. One run is many repetitions in one submit and one wait, since a wait alone costs 10 ms in Deno.

import { Device } from "../src/gpu/device.ts";
import { read } from "../src/gpu/readback.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";

/** The device of a bench file. PIXART_BACKEND chooses the backend. */
export const device = await Device.open();

/** One contestant. */
export interface BenchOptions {
  /** With shape and dtype, the group that it is compared in. */
  op: string;
  shape: string;
  dtype: string;
  /** The kernel, as it is called in the table. */
  name: string;
  /** Whether the others of its group are compared with it: the portable kernel. */
  baseline?: boolean;
  /** Floating-point operations of one repetition; a multiply-add is two. */
  flops?: number;
  /** Bytes that one repetition must move, where memory is what bounds it. */
  bytes?: number;
  /** Repetitions in one submit; as many as make some 100 ms. */
  repetitions: number;
  /** Records one repetition. */
  record(rec: Recorder): Tensor;
  /** Throws when the result of one repetition is wrong. */
  check(result: Float32Array): void;
}

const best = new Map<BenchOptions, number>();

/** What the hardware can do at most, if whoever runs the bench states it: PIXART_GFLOPS, PIXART_GBS. */
function share(rate: number, variable: string): string {
  const ceiling = Number(Deno.env.get(variable));
  return ceiling > 0 ? `, ${(100 * rate / ceiling).toFixed(0)}% of ${ceiling}` : "";
}

function report(options: BenchOptions, ms: number): string {
  const { op, shape, dtype, name, flops, bytes } = options;
  const rates: string[] = [];
  if (flops) rates.push(`${(flops / ms / 1e6).toFixed(1)} GFLOP/s${share(flops / ms / 1e6, "PIXART_GFLOPS")}`);
  if (bytes) rates.push(`${(bytes / ms / 1e6).toFixed(1)} GB/s${share(bytes / ms / 1e6, "PIXART_GBS")}`);
  return `${op} ${shape} ${dtype} ${name}: best ${ms.toFixed(2)} ms, ${rates.join(", ")}`;
}

/** Records `count` repetitions, submits them, and waits; milliseconds of all. */
async function time(options: BenchOptions, count: number): Promise<number> {
  const start = performance.now();
  const rec = new Recorder(device);
  using _scope = rec.scope();
  for (let i = 0; i < count; i++) options.record(rec).dispose();
  rec.submit();
  await device.settle();
  return performance.now() - start;
}

/** Registers a bench; its result is checked once, before it is timed. */
export function benchOp(options: BenchOptions): void {
  const { op, shape, dtype, name, baseline, repetitions } = options;
  const group = `${op} ${shape} ${dtype}`;
  let checked = false;
  Deno.bench(`${group} ${name}`, { group, baseline, n: 5, warmup: 1 }, async (bench) => {
    if (!checked) {
      const rec = new Recorder(device);
      using _scope = rec.scope();
      const result = options.record(rec);
      rec.submit();
      options.check(await read(device, result));
      checked = true;
    }
    bench.start();
    const ms = await time(options, repetitions);
    bench.end();
    best.set(options, Math.min(best.get(options) ?? Infinity, ms / repetitions));
  });
}

addEventListener("unload", () => {
  console.log(`\n${device.description} through ${device.entry.backend}`);
  for (const [options, ms] of best) console.log(report(options, ms));
});
