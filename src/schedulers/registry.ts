// Which class a scheduler's config is for. In: the content of `scheduler_config.json`. Out: the scheduler.

import { ConfigError } from "../errors.ts";
import { DDIMScheduler } from "./ddim.ts";
import { DDPMScheduler } from "./ddpm.ts";
import { DEISMultistepScheduler } from "./deis_multistep.ts";
import { DPMSolverMultistepScheduler } from "./dpm_solver_multistep.ts";
import { DPMSolverSinglestepScheduler } from "./dpm_solver_singlestep.ts";
import { EulerAncestralDiscreteScheduler } from "./euler_ancestral_discrete.ts";
import { EulerDiscreteScheduler } from "./euler_discrete.ts";
import { HeunDiscreteScheduler } from "./heun_discrete.ts";
import { KDPM2AncestralDiscreteScheduler } from "./kdpm2_ancestral_discrete.ts";
import { KDPM2DiscreteScheduler } from "./kdpm2_discrete.ts";
import { LCMScheduler } from "./lcm.ts";
import { LMSDiscreteScheduler } from "./lms_discrete.ts";
import { DPMS } from "./original_dpms.ts";
import { IDDPM } from "./original_iddpm.ts";
import { SASolverSampler } from "./original_sa_solver.ts";
import { PNDMScheduler } from "./pndm.ts";
import { SASolverScheduler } from "./sa_solver.ts";
import type { Scheduler } from "./scheduler.ts";
import { UniPCMultistepScheduler } from "./unipc_multistep.ts";

/** A class whose schedulers are made from diffusers' JSON. */
export interface SchedulerFactory {
  /** @throws {ConfigError} When a value cannot be honoured. */
  fromConfig(json: unknown): Scheduler;
}

/** Every scheduler by the name of its class: those of diffusers, then the samplers of the original repository. */
export const SCHEDULERS: Readonly<Record<string, SchedulerFactory>> = {
  DPMSolverMultistepScheduler,
  DPMSolverSinglestepScheduler,
  DDIMScheduler,
  DDPMScheduler,
  EulerDiscreteScheduler,
  EulerAncestralDiscreteScheduler,
  HeunDiscreteScheduler,
  LMSDiscreteScheduler,
  PNDMScheduler,
  UniPCMultistepScheduler,
  DEISMultistepScheduler,
  KDPM2DiscreteScheduler,
  KDPM2AncestralDiscreteScheduler,
  SASolverScheduler,
  LCMScheduler,
  DPMS,
  IDDPM,
  SASolverSampler,
};

/**
 * Makes the scheduler that a config is for.
 * @param json The parsed content of `scheduler_config.json`.
 * @param className The class to make of it instead of its `_class_name`; the options that both have carry over.
 * @throws {ConfigError} When there is no such class, or a value cannot be honoured.
 * @example
 * ```ts
 * import { schedulerFromConfig } from "./registry.ts";
 * const json = { _class_name: "DPMSolverMultistepScheduler", beta_end: 0.02, solver_order: 2 };
 * const scheduler = schedulerFromConfig(json, "EulerDiscreteScheduler");
 * console.assert(scheduler.unknownConfigKeys.join() === "solver_order");
 * ```
 */
export function schedulerFromConfig(json: unknown, className?: string): Scheduler {
  const name = className ?? (json as { _class_name?: unknown } | null)?._class_name;
  if (typeof name !== "string" || !Object.hasOwn(SCHEDULERS, name)) {
    const known = Object.keys(SCHEDULERS).join(", ");
    throw new ConfigError(
      `Cannot make a scheduler as its _class_name must be one of ${known}: ${JSON.stringify(name)}`,
    );
  }
  return SCHEDULERS[name].fromConfig(json);
}
