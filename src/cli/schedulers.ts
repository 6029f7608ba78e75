// The schedulers that --scheduler can name. In: a name and a checkpoint. Out: a scheduler with the checkpoint's own noise
// schedule and what the name changes of it.

import { ConfigError, UsageError } from "../errors.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import { isRecord } from "../io/strict_json.ts";
import { DMD_SCHEDULER } from "../pipelines/distilled_defaults.ts";
import { schedulerFromConfig } from "../schedulers/registry.ts";
import type { Scheduler } from "../schedulers/scheduler.ts";

type Json = Record<string, unknown>;

/** A scheduler under one of its names. */
export interface SchedulerChoice {
  names: readonly string[];
  /** For the help. */
  about: string;
  /** @param json The checkpoint's `scheduler_config.json`, whichever scheduler that is for. */
  make(json: Json): Scheduler;
}

const KARRAS = {
  use_karras_sigmas: true,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  use_lu_lambdas: false,
};

/** The option that means another thing in DDPM than elsewhere: it needs a variance, the solvers know only a learned one. */
function varianceType(className: string, { variance_type: given }: Json): Json {
  if (className === "DDPMScheduler") return { variance_type: given ?? "fixed_small" };
  return typeof given === "string" && given.startsWith("fixed") ? { variance_type: null } : {};
}

/** A class of diffusers with the checkpoint's options, and `changes` to them. */
function choice(className: string, names: string[], about: string, changes: Json = {}): SchedulerChoice {
  return {
    names,
    about,
    make: (json) => schedulerFromConfig({ ...json, ...varianceType(className, json), ...changes }, className),
  };
}

/** A sampler of the original repository, which has other options than diffusers' for the same noise schedule. */
function original(className: string, names: string[], about: string): SchedulerChoice {
  return {
    names,
    about,
    make: (json) => {
      const { num_train_timesteps: steps = 1000, beta_start: first = 0.0001, beta_end: last = 0.02 } = json;
      const { beta_schedule: name = "linear", prediction_type: prediction = "epsilon" } = json;
      const near = (beta: unknown, wanted: number) => Math.abs(Number(beta) * Number(steps) / wanted - 1) < 1e-6;
      const fits = prediction === "epsilon" && (name !== "linear" || near(first, 0.1) && near(last, 20));
      if (!fits) {
        throw new ConfigError(
          `Cannot make ${className} for this checkpoint as it must predict noise, with betas from 0.1 to 20 over the ` +
            `number of training steps: prediction_type ${prediction}, betas from ${first} to ${last} in ${steps} steps`,
        );
      }
      return schedulerFromConfig({ noise_schedule: name, diffusion_steps: steps }, className);
    },
  };
}

/** All of them. */
export const SCHEDULERS: readonly SchedulerChoice[] = [
  choice(
    "DPMSolverMultistepScheduler",
    ["DPMSolverMultistepScheduler", "dpm", "dpm++"],
    "the multistep DPM-Solver with the checkpoint's options",
  ),
  choice(
    "DPMSolverMultistepScheduler",
    ["dpm-karras"],
    "the same with the noise levels of Karras et al.",
    KARRAS,
  ),
  choice("DPMSolverMultistepScheduler", ["dpm-sde"], "the same with fresh noise at each step", {
    algorithm_type: "sde-dpmsolver++",
  }),
  choice(
    "DPMSolverSinglestepScheduler",
    ["DPMSolverSinglestepScheduler", "dpm-single"],
    "the single-step DPM-Solver",
  ),
  choice("DDIMScheduler", ["DDIMScheduler", "ddim"], "DDIM, without noise"),
  choice("DDPMScheduler", ["DDPMScheduler", "ddpm"], "DDPM, with fresh noise at each step; needs many"),
  choice(
    "DDPMScheduler",
    ["dmd"],
    "one step to what the model takes for the clean sample, for models made by DMD",
    DMD_SCHEDULER,
  ),
  choice("EulerDiscreteScheduler", ["EulerDiscreteScheduler", "euler"], "Euler's method"),
  choice("EulerDiscreteScheduler", ["euler-karras"], "the same with the noise levels of Karras et al.", KARRAS),
  choice(
    "EulerAncestralDiscreteScheduler",
    ["EulerAncestralDiscreteScheduler", "euler-a"],
    "Euler's method with fresh noise at each step",
  ),
  choice("HeunDiscreteScheduler", ["HeunDiscreteScheduler", "heun"], "Heun's method, two model calls a step"),
  choice("LMSDiscreteScheduler", ["LMSDiscreteScheduler", "lms"], "the linear multistep method"),
  choice("PNDMScheduler", ["PNDMScheduler", "pndm"], "PNDM, which starts with three Runge-Kutta steps"),
  choice("PNDMScheduler", ["plms"], "the same without that start", { skip_prk_steps: true }),
  choice("UniPCMultistepScheduler", ["UniPCMultistepScheduler", "unipc"], "UniPC, a predictor with a corrector"),
  choice("DEISMultistepScheduler", ["DEISMultistepScheduler", "deis"], "DEIS"),
  choice("KDPM2DiscreteScheduler", ["KDPM2DiscreteScheduler", "kdpm2"], "the midpoint method, two model calls a step"),
  choice(
    "KDPM2AncestralDiscreteScheduler",
    ["KDPM2AncestralDiscreteScheduler", "kdpm2-a"],
    "the same with fresh noise at each step",
  ),
  choice("SASolverScheduler", ["SASolverScheduler", "sa"], "SA-Solver, with fresh noise at each step"),
  choice("LCMScheduler", ["LCMScheduler", "lcm"], "for latent consistency models, in four steps or so"),
  original("DPMS", ["DPMS"], "the DPM-Solver of the original repository"),
  original("IDDPM", ["IDDPM"], "IDDPM of the original repository, with the variance that the model learned"),
  original("SASolverSampler", ["SASolverSampler", "sa-original"], "the SA-Solver of the original repository"),
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
 * @throws {ConfigError} when the checkpoint's own config cannot be read, or the scheduler cannot honour it.
 */
export async function makeScheduler(choice: SchedulerChoice, folder: string, signal?: AbortSignal): Promise<Scheduler> {
  const file = joinPath(folder, "scheduler", "scheduler_config.json");
  const json = await readJson(file, { signal });
  if (!isRecord(json)) {
    throw new ConfigError(`Cannot read ${file} as it must hold a JSON object: ${JSON.stringify(json)}`);
  }
  return choice.make(json);
}
