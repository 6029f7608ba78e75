// Verifies the samplers of the original repository. In: a folder with an index of options and the recorded runs, each by its number
// of steps. Out: a row for the times of each run and for the sample that it ends with.

import { ConfigError } from "../errors.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import { schedulerFromConfig } from "../schedulers/registry.ts";
import { compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";
import { compareDraws, predictNoise, runPlan, withVariance } from "./scheduler_trace.ts";
import { compareTimesteps, orReason } from "./verify_schedulers.ts";

const f32 = Math.fround;

/** What the index says of all runs. */
interface Index {
  /** The network's formula. */
  model: string;
  /** The condition, and what stands for none. */
  cond: number;
  null: number;
  cfg_scale: number;
  /** Options of each sampler. */
  dpms?: Record<string, unknown>;
  iddpm?: Record<string, unknown>;
}

const MODEL = "0.7 x + 0.3 sin(3 x + t / 100) + 0.1 c";

type Sampler = "dpms" | "iddpm";
const CLASSES: Record<Sampler, string> = { dpms: "DPMS", iddpm: "IDDPM" };

/** Runs every sampler that the folder has a recorded run of, as often as it has one. */
export async function verifyOriginalSamplers(run: VerifyRun): Promise<OutputReport[]> {
  const path = joinPath(run.folder, "index.json");
  const index = await readJson(path) as Index;
  const plain = (formula: unknown) => String(formula).replaceAll(" ", "");
  if (plain(index.model) !== plain(MODEL)) {
    throw new ConfigError(`Cannot verify by ${path} as its model must be ${MODEL}: ${JSON.stringify(index.model)}`);
  }
  for (const key of ["cond", "null", "cfg_scale"] as const) {
    if (typeof index[key] !== "number") {
      throw new ConfigError(`Cannot verify by ${path} as its ${key} must be a number: ${JSON.stringify(index[key])}`);
    }
  }
  using io = await Reference.open(run.folder);
  const rows: OutputReport[] = [];
  for (const name of io.names()) {
    const [, sampler, steps, what] = /^(dpms|iddpm)\.(\d+)\.(out|model_timesteps|noise)$/.exec(name) ?? [];
    if (what === "out") {
      const prefix = `${sampler}.${steps}`;
      run.progress(`running ${prefix}`);
      const found = await orReason(() => verifyRun(run, io, index, sampler as Sampler, Number(steps)));
      rows.push(...(typeof found === "string" ? [notCompared(name, found)] : found));
    } else if (what === undefined && !name.startsWith("in.")) {
      rows.push(notCompared(name, "no such output is known"));
    }
  }
  return rows;
}

async function verifyRun(
  run: VerifyRun,
  io: Reference,
  index: Index,
  sampler: Sampler,
  steps: number,
): Promise<OutputReport[]> {
  const name = `${sampler}.${steps}`;
  const scheduler = schedulerFromConfig(index[sampler] ?? {}, CLASSES[sampler]);
  if (scheduler.unknownConfigKeys.length > 0) {
    throw new ConfigError(`not implemented: ${scheduler.unknownConfigKeys.join(", ")} of ${CLASSES[sampler]}`);
  }
  scheduler.setTimesteps(steps);
  const rows: OutputReport[] = [];
  const timesteps = `${name}.model_timesteps`;
  if (io.has(timesteps)) rows.push(await compareTimesteps(run, io, timesteps, scheduler));
  const sample = await io.floats("in.z", 4);
  const noiseName = `${name}.noise`;
  const noise = io.has(noiseName) ? await io.floats(noiseName, 5) : undefined;
  const predict = (x: Float32Array, timestep: number, condition: number) =>
    x.map((value) => predictNoise(value, timestep) + f32(f32(0.1) * condition));
  const { cond, null: none, cfg_scale: guidanceScale } = index;
  const size = sample.data.length;
  const { x, drawn } = await runPlan(run, {
    plan: scheduler.plan(),
    sample,
    // The recorded runs of IDDPM have the condition without guidance, and a learned variance.
    ...(sampler === "dpms"
      ? {
        guidanceScale,
        output(x, { timestep }) {
          const both = new Float32Array(2 * size);
          both.set(predict(x, timestep, none));
          both.set(predict(x, timestep, cond), size);
          return both;
        },
      }
      : { output: (x, { timestep }) => withVariance(predict(x, timestep, cond), x, sample.shape[0]) }),
    draw(index) {
      // All of them lie in one tensor, behind each other.
      if (!noise || noise.shape[0] <= index) throw new ConfigError(`${noiseName} must hold draw ${index}: it does not`);
      return Promise.resolve(noise.data.slice(index * size, (index + 1) * size));
    },
  });
  const draws = compareDraws(noiseName, drawn, noise?.shape[0] ?? 0);
  if (!draws.ok) rows.push(draws);
  const out = `${name}.out`;
  rows.push(compareFloats(out, { data: x, shape: sample.shape }, await io.floats(out), run.tolerance));
  return rows;
}
