// The multistep DPM-Solver, PixArt's own scheduler. In: options, a number of steps. Out: timesteps, noise levels and the
// coefficients of every step.

import { type DPMSolverMultistepConfig, OWNER, readDPMSolverConfig } from "./dpm_solver_config.ts";
import { dpmSolverStep } from "./dpm_solver_step.ts";
import { ExponentialScheduler } from "./exponential_scheduler.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";
import { customStops } from "./solver_stops.ts";

export type { DPMSolverMultistepConfig } from "./dpm_solver_config.ts";

// With fewer steps than this the last ones are of lower order when `lowerOrderFinal` says so.
const FEW_STEPS = 15;

/**
 * The multistep DPM-Solver (arXiv 2206.00927 and 2211.01095): one model call a step, up to third order.
 *
 * @example
 * ```ts
 * import { DPMSolverMultistepScheduler } from "./dpm_solver_multistep.ts";
 * const scheduler = new DPMSolverMultistepScheduler({ useKarrasSigmas: true });
 * scheduler.setTimesteps(20);
 * console.assert(scheduler.plan().length === 20);
 * ```
 */
export class DPMSolverMultistepScheduler extends ExponentialScheduler<DPMSolverMultistepConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<DPMSolverMultistepConfig> = {}) {
    // Not quite 0, so that the first noise level of a schedule with zero terminal SNR is finite: the smallest float16.
    super(OWNER, readDPMSolverConfig(options), 2 ** -24);
  }

  protected override get spacingOptions(): DPMSolverMultistepConfig {
    return this.config;
  }

  /**
   * Chooses the times and noise levels of a run.
   * @param numInferenceSteps The number of steps; not read when `options.timesteps` is given. "trailing" spacing turns a
   * few of them (61 is the first) into one step more, as it does in diffusers.
   * @param options `timesteps`, cut to whole numbers, or `mu`, which makes the flow shift exp(mu).
   * @throws {UsageError} When the config rules out what is asked for.
   */
  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "sigmas", "originalInferenceSteps", "strength");
    const { timesteps, mu } = options;
    const stops = timesteps
      ? customStops(this.spacingOptions, this.alphas, timesteps)
      : this.spaced(numInferenceSteps, mu);
    this.setRun(stops, this.config.finalSigmasType === "zero" ? 0 : this.lowestSigma);
  }

  protected steps(begin: number): StepPlan[] {
    const { algorithmType, solverType, solverOrder, eulerAtFinal, lowerOrderFinal, finalSigmasType } = this.config;
    const count = this.timesteps.length;
    const few = lowerOrderFinal && count < FEW_STEPS;
    const levels = this.levels;
    return this.timesteps.slice(begin).map((timestep, index) => {
      const place = begin + index;
      const last = place === count - 1 && (eulerAtFinal || few || finalSigmasType === "zero");
      const limit = last ? 1 : few && place === count - 2 ? 2 : 3;
      const order = Math.min(solverOrder, index + 1, limit);
      const before = levels.slice(begin, place + 1).reverse();
      return {
        timestep,
        inputScale: 1,
        ...this.conversion(algorithmType.endsWith("++") ? "clean" : "noise", levels[place]),
        ...dpmSolverStep(algorithmType, solverType, order, levels[place + 1], before),
        drawsNoise: algorithmType.startsWith("sde-"),
      };
    });
  }
}
