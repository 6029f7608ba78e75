// What a run will do, before it begins. In: a scheduler and the options of a call. Out: its steps, and the noise that the latents
// hold on the way. All of it is taken at once, since another run may set the same scheduler for itself while this one waits.

import { UsageError } from "../errors.ts";
import type { NoiseMix } from "../ops/mix_noise.ts";
import { PNDMScheduler } from "../schedulers/pndm.ts";
import type { Scheduler, StepPlan } from "../schedulers/scheduler.ts";
import type { GenerateOptions } from "./generate_options.ts";

/** The steps of a run. */
export interface RunPlan {
  steps: readonly StepPlan[];
  /** What latents hold before each step, and what they hold in the end, [steps + 1]; empty for a run that starts from noise. */
  levels: readonly NoiseMix[];
  /** The standard deviation of pure noise, where the schedule begins. */
  initNoiseSigma: number;
}

/** How many of `steps` are left out when a run starts from a picture. */
function skipped(steps: number, strength: number): number {
  return Math.max(steps - Math.min(Math.trunc(steps * strength), steps), 0);
}

/** How much of a clean sample and of noise there is in the sample that a step starts from. */
function levelBefore(scheduler: Scheduler, { timestep, inputScale }: StepPlan): NoiseMix {
  // Where the clean sample is whole, the scale of the input tells the noise. It does so between two steps, too, where KDPM2's
  // `addNoise` tells that of the next.
  if (inputScale !== 1) return { keep: 1, add: Math.sqrt(inputScale ** -2 - 1) };
  const [keep, add] = scheduler.addNoise(Float32Array.of(1, 0), Float32Array.of(0, 1), [timestep, timestep]);
  return { keep, add };
}

/**
 * Plans a run.
 *
 * @param strength The share of the schedule that is run, from its clean end; all of it, from noise, when not given.
 * @throws {UsageError} when the scheduler cannot run so.
 */
export function planRun(
  scheduler: Scheduler,
  { numInferenceSteps, timesteps, sigmas, eta }:
    & Pick<GenerateOptions, "timesteps" | "sigmas" | "eta">
    & { numInferenceSteps: number },
  strength?: number,
): RunPlan {
  if (eta !== undefined && !(eta >= 0 && eta <= 1)) {
    throw new UsageError(`Cannot generate as eta must be from 0 to 1: ${eta}`);
  }
  scheduler.setTimesteps(numInferenceSteps, { timesteps, sigmas });
  const { initNoiseSigma, callsPerStep } = scheduler;
  if (strength === undefined) return { steps: scheduler.plan({ eta }), levels: [], initNoiseSigma };
  const isChosen = timesteps !== undefined || sigmas !== undefined;
  const count = isChosen ? Math.ceil(scheduler.timesteps.length / callsPerStep) : numInferenceSteps;
  const left = skipped(count, strength);
  // PNDM lists the time of its second call twice.
  const begin = left * callsPerStep + (left > 0 && scheduler instanceof PNDMScheduler ? 1 : 0);
  const steps = left < count ? scheduler.plan({ begin, repeatsFirst: true, eta }) : [];
  const levels = [...steps.map((step) => levelBefore(scheduler, step)), { keep: 1, add: 0 }];
  return { steps, levels, initNoiseSigma };
}
