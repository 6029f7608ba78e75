// Verifies schedulers. In: a folder with an index of runs and a recorded trace of each. Out: a row for each recorded number of
// each run: its times, noise levels, samples after every step, and noised samples.

import { ConfigError, UsageError } from "../errors.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import { SCHEDULERS } from "../schedulers/registry.ts";
import type { PlanOptions, Scheduler, StepPlan, TimestepOptions } from "../schedulers/scheduler.ts";
import { compareExactly, compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";
import { runTrace } from "./scheduler_trace.ts";

/** What the index says of one run. */
interface Entry {
  scheduler: string;
  num_inference_steps: number;
  config: Record<string, unknown>;
  step?: Record<string, unknown>;
  set_timesteps?: Record<string, unknown>;
  init_noise_sigma?: number;
}

/** Arguments of diffusers' `set_timesteps()`, and what they are called here. */
const TIMESTEP_OPTIONS: Record<string, keyof TimestepOptions> = {
  timesteps: "timesteps",
  sigmas: "sigmas",
  mu: "mu",
  original_inference_steps: "originalInferenceSteps",
  strength: "strength",
};

/** Arguments of diffusers' `step()`, and what they are called here. */
const STEP_OPTIONS: Record<string, keyof PlanOptions> = {
  eta: "eta",
  use_clipped_model_output: "useClippedModelOutput",
  order: "order",
  s_churn: "sChurn",
  s_tmin: "sTmin",
  s_tmax: "sTmax",
  s_noise: "sNoise",
};

/** Runs every entry of `index.json` on the GPU, with the model that its trace was recorded with. */
export async function verifySchedulers(run: VerifyRun): Promise<OutputReport[]> {
  const path = joinPath(run.folder, "index.json");
  const entries = Object.entries(await readJson(path) as Record<string, Entry>);
  const rows: OutputReport[] = [];
  for (const [name, entry] of entries) {
    if (typeof entry.num_inference_steps !== "number" || typeof entry.config !== "object" || entry.config === null) {
      throw new ConfigError(
        `Cannot verify by ${path} as ${name} must have num_inference_steps and a config: it has not`,
      );
    }
    run.progress(`running ${name}`);
    const prepared = await prepare(entry);
    if (typeof prepared === "string") {
      rows.push(notCompared(name, prepared));
      continue;
    }
    using io = await Reference.open(run.folder, `${name}.safetensors`);
    const found = await verifyEntry(run, io, entry, prepared);
    rows.push(...found.map((row) => ({ ...row, name: `${name}/${row.name}` })));
  }
  return rows;
}

/** A scheduler with the plan of its run. */
interface Planned {
  scheduler: Scheduler;
  plan: StepPlan[];
}

/** A scheduler ready to run, or why there is none. */
async function prepare(entry: Entry): Promise<Planned | string> {
  if (!Object.hasOwn(SCHEDULERS, entry.scheduler)) return `not implemented: ${entry.scheduler}`;
  const { step = {}, set_timesteps: times = {} } = entry;
  const unknown = [
    ...Object.keys(step).filter((key) => !Object.hasOwn(STEP_OPTIONS, key)).map((key) => `step(${key})`),
    ...Object.keys(times).filter((key) => !Object.hasOwn(TIMESTEP_OPTIONS, key)).map((key) => `set_timesteps(${key})`),
  ];
  if (unknown.length > 0) return `not implemented: ${unknown.join(", ")} of ${entry.scheduler}`;
  return await orReason(() => {
    const scheduler = SCHEDULERS[entry.scheduler].fromConfig(entry.config);
    scheduler.setTimesteps(entry.num_inference_steps, renamed<TimestepOptions>(times, TIMESTEP_OPTIONS));
    return { scheduler, plan: scheduler.plan(renamed<PlanOptions>(step, STEP_OPTIONS)) };
  });
}

function renamed<T>(values: Record<string, unknown>, names: Record<string, keyof T>): T {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [names[key], value])) as T;
}

/** What `work` gives, or in words why a scheduler or its kernel refuses it. */
export async function orReason<T>(work: () => T | Promise<T>): Promise<T | string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ConfigError || error instanceof UsageError) return error.message;
    throw error;
  }
}

async function verifyEntry(
  run: VerifyRun,
  io: Reference,
  entry: Entry,
  { scheduler, plan }: Planned,
): Promise<OutputReport[]> {
  const rows: OutputReport[] = [];
  const list = (data: readonly number[]) => ({ data, shape: [data.length] });
  if (entry.init_noise_sigma !== undefined) {
    const [ours, reference] = [list([scheduler.initNoiseSigma]), list([entry.init_noise_sigma])];
    rows.push(compareFloats("init_noise_sigma", ours, reference, run.tolerance));
  }
  if (io.has("timesteps")) rows.push(await compareTimesteps(run, io, "timesteps", scheduler));
  if (io.has("sigmas")) {
    rows.push(compareFloats("sigmas", list(scheduler.sigmas), await io.floats("sigmas"), run.tolerance));
  }
  const learned = String(entry.config.variance_type).startsWith("learned");
  const steps = await orReason(() => runTrace(run, io, plan, learned));
  rows.push(...(typeof steps === "string" ? [notCompared("out", steps)] : steps));
  if (io.has("add.out")) rows.push(await verifyAddNoise(run, io, scheduler));
  return rows;
}

/** A row for the times of a run. */
export async function compareTimesteps(
  run: VerifyRun,
  io: Reference,
  name: string,
  { timesteps }: Scheduler,
): Promise<OutputReport> {
  const reference = await io.floats(name, 1);
  // A whole number that is off by one is another step, however small that is beside all of them.
  return reference.data.every(Number.isInteger)
    ? compareExactly(name, timesteps, reference.data)
    : compareFloats(name, { data: timesteps, shape: [timesteps.length] }, reference, run.tolerance);
}

async function verifyAddNoise(run: VerifyRun, io: Reference, scheduler: Scheduler): Promise<OutputReport> {
  const sample = await io.floats("add.sample");
  const noise = await io.floats("add.noise");
  const timesteps = await io.floats("add.timesteps");
  const data = scheduler.addNoise(sample.data, noise.data, Array.from(timesteps.data));
  return compareFloats("add.out", { data, shape: sample.shape }, await io.floats("add.out"), run.tolerance);
}
