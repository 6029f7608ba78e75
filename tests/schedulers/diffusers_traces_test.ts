// Every scheduler against traces of diffusers: the folder's own with the sample after each step, and for the rarer options
// `options.json`, recorded from diffusers 0.40.dev0 with the same model on 12 numbers.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { readJson } from "../../src/io/byte_source.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats, type WeightSource } from "../../src/io/weights.ts";
import { SCHEDULERS } from "../../src/schedulers/registry.ts";
import type { PlanOptions, TimestepOptions } from "../../src/schedulers/scheduler.ts";
import { assertClose, runPlan, traceModel, traceVariance } from "./_runner.ts";

const golden = fileURLToPath(new URL("../golden/schedulers", import.meta.url));
const TOLERANCE = 1e-5;

// Where float32 itself carries more, as the trace's model multiplies an error by ten on the way: diffusers run in double is
// 1.8e-4 and 2.7e-5 away from these traces of its own.
const FLOAT_NOISE: Record<string, number> = { "kdpm2-a-6": 2e-4, "sa-epsilon-10": 1e-4 };

interface Trace {
  scheduler: string;
  num_inference_steps: number;
  config: Record<string, unknown>;
  step: PlanOptions;
  set_timesteps: TimestepOptions;
  init_noise_sigma: number;
  noises: number;
}

async function readDoubles(source: WeightSource, name: string): Promise<number[]> {
  const bytes = await source.read(name);
  return Array.from(new Float64Array(bytes.slice().buffer));
}

/** Whole times must be equal: one that is off by one is another step, however small that is beside all of them. */
function assertTimes(actual: readonly number[], expected: readonly number[]): void {
  if (expected.every(Number.isInteger)) assert.deepEqual(actual, expected);
  else assertClose(actual, expected, 1e-6, "timesteps");
}

const traces = await readJson(`${golden}/index.json`) as Record<string, Trace>;
for (const [name, trace] of Object.entries(traces)) {
  Deno.test(`${trace.scheduler} matches diffusers on ${name}`, async () => {
    using file = await openSafetensors(`${golden}/${name}.safetensors`);
    const scheduler = SCHEDULERS[trace.scheduler].fromConfig(trace.config);
    scheduler.setTimesteps(trace.num_inference_steps, trace.set_timesteps);

    assert.equal(scheduler.initNoiseSigma, trace.init_noise_sigma);
    assertTimes(scheduler.timesteps, await readDoubles(file, "timesteps"));
    if (file.has("sigmas")) assertClose(scheduler.sigmas, await readDoubles(file, "sigmas"), 1e-6, "sigmas");

    const noises = file.names().filter((tensor) => tensor.startsWith("noise."));
    assert.equal(noises.length, trace.noises);
    const drawn = await Promise.all(noises.map((tensor) => readFloats(file, tensor)));
    const start = await readFloats(file, "in.sample");
    const plan = scheduler.plan(trace.step);
    const samples = runPlan(plan, start, 2, traceModel, () => drawn.shift()!, traceVariance);
    assert.equal(drawn.length, 0, "as many noises were drawn");
    for (const [index, sample] of samples.entries()) {
      const tensor = `out.${String(index).padStart(3, "0")}`;
      assertClose(sample, await readFloats(file, tensor), FLOAT_NOISE[name] ?? TOLERANCE, tensor);
    }

    if (!file.has("add.out")) return;
    const noisy = scheduler.addNoise(
      await readFloats(file, "add.sample"),
      await readFloats(file, "add.noise"),
      await readDoubles(file, "add.timesteps"),
    );
    assertClose(noisy, await readFloats(file, "add.out"), TOLERANCE, "add.out");
  });
}

interface OptionTrace {
  scheduler: string;
  config: Record<string, unknown>;
  steps: number;
  set_timesteps: TimestepOptions & Record<string, unknown>;
  step: Record<string, unknown>;
  /** The place in the timesteps where the run begins, as that of an image-to-image pipeline does. */
  begin?: number;
  timesteps: number[];
  sigmas?: number[];
  in: number[];
  out: number[];
  noises?: number[][];
  /** How far the trace is from a run of diffusers in double. */
  float_noise?: number;
}

/** The names of diffusers in camelCase. */
function camelCase(options: Record<string, unknown>): Record<string, unknown> {
  const name = (key: string) => key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([key, value]) => [name(key), value]));
}

const options = await readJson(`${golden}/options.json`) as Record<string, OptionTrace>;
for (const [name, trace] of Object.entries(options)) {
  Deno.test(`${trace.scheduler} matches diffusers with options: ${name.split(": ")[1]}`, () => {
    const scheduler = SCHEDULERS[trace.scheduler].fromConfig(trace.config);
    assert.deepEqual(scheduler.unknownConfigKeys, []);
    scheduler.setTimesteps(trace.steps, camelCase(trace.set_timesteps));
    assertTimes(scheduler.timesteps, trace.timesteps);
    if (trace.sigmas) assertClose(scheduler.sigmas, trace.sigmas, 1e-6, "sigmas");

    const drawn = [...trace.noises ?? []];
    const samples = runPlan(
      scheduler.plan({ ...camelCase(trace.step), begin: trace.begin }),
      Float32Array.from(trace.in),
      2,
      traceModel,
      () => Float32Array.from(drawn.shift()!),
      trace.config.variance_type === "learned" ? (x) => traceVariance(x) ** 2 : traceVariance,
    );
    assert.equal(drawn.length, 0, "as many noises were drawn");
    const tolerance = Math.max(TOLERANCE, 3 * (trace.float_noise ?? 0));
    assertClose(samples[samples.length - 1], trace.out, tolerance, "out");
  });
}
