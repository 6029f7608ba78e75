// The schedulers that --scheduler can name. In: a name and a checkpoint. Out: a scheduler with the checkpoint's own noise
// schedule and what the name changes of it.

import { ConfigError, UsageError } from "../errors.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import { isRecord } from "../io/strict_json.ts";
import { DPMSolverMultistepScheduler } from "../schedulers/dpm_solver_multistep.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";

/** A scheduler under one of its names. */
export interface SchedulerChoice {
  names: readonly string[];
  /** For the help. */
  about: string;
  /** @param json The checkpoint's `scheduler_config.json`, whichever scheduler that is for. */
  make(json: Record<string, unknown>): Scheduler;
}

const dpm = (changes: Record<string, unknown>) => (json: Record<string, unknown>) =>
  DPMSolverMultistepScheduler.fromConfig({ ...json, ...changes });

/** All of them. */
export const SCHEDULERS: readonly SchedulerChoice[] = [
  {
    names: ["DPMSolverMultistepScheduler", "dpm", "dpm++"],
    about: "the multistep DPM-Solver with the checkpoint's options",
    make: dpm({}),
  },
  {
    names: ["dpm-karras"],
    about: "the same with the noise levels of Karras et al.",
    make: dpm({
      use_karras_sigmas: true,
      use_exponential_sigmas: false,
      use_beta_sigmas: false,
      use_lu_lambdas: false,
    }),
  },
  {
    names: ["dpm-sde"],
    about: "the same with fresh noise at each step",
    make: dpm({ algorithm_type: "sde-dpmsolver++" }),
  },
];

/** Every name that {@linkcode findScheduler} knows. */
export function schedulerNames(): string[] {
  return SCHEDULERS.flatMap(({ names }) => names);
}

/**
 * Finds a scheduler by name, in any case of letters.
 *
 * @throws {UsageError} that lists the names, when there is none of this name.
 */
export function findScheduler(name: string): SchedulerChoice {
  const found = SCHEDULERS.find(({ names }) => names.some((one) => one.toLowerCase() === name.toLowerCase()));
  if (found) return found;
  throw new UsageError(
    `Cannot use scheduler "${name}" as it must be one of ${schedulerNames().join(", ")}: it is none of them`,
  );
}

/**
 * Makes the scheduler of this name for a checkpoint.
 *
 * @param folder The checkpoint's folder, a path or URL.
 * @throws {ConfigError} when the checkpoint's own config cannot be read.
 */
export async function makeScheduler(choice: SchedulerChoice, folder: string, signal?: AbortSignal): Promise<Scheduler> {
  const file = joinPath(folder, "scheduler", "scheduler_config.json");
  const json = await readJson(file, { signal });
  if (!isRecord(json)) {
    throw new ConfigError(`Cannot read ${file} as it must hold a JSON object: ${JSON.stringify(json)}`);
  }
  return choice.make(json);
}
