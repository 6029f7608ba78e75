// DEIS (arXiv 2204.13902), the multistep method in log rho: a polynomial in log rho = -lambda through the last predictions of
// the noise, integrated over rho. In: options, a number of steps. Out: the coefficients of every step.

import {
  dynamicShifting,
  flowPrediction,
  flowSpacing,
  sigmaSpacings,
  spacing,
  thresholding,
  training,
} from "./common_options.ts";
import { choice, flag, number, type OptionValues, readOptions } from "./config.ts";
import { lambda } from "./dpm_solver_step.ts";
import { ExponentialScheduler } from "./exponential_scheduler.ts";
import { distinctLength, lagrangeIntegrals } from "./lagrange_integrals.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";

const OPTIONS = {
  ...training(),
  solverOrder: number(2, "1, 2 or 3", (value) => [1, 2, 3].includes(value)),
  ...flowPrediction,
  ...thresholding,
  // Configs of the related DPM-Solver and UniPC schedulers hold the other words, and diffusers reads them so.
  algorithmType: choice(["deis"], "deis", { dpmsolver: "deis", "dpmsolver++": "deis" }),
  solverType: choice(["logrho"], "logrho", { midpoint: "logrho", heun: "logrho", bh1: "logrho", bh2: "logrho" }),
  lowerOrderFinal: flag(true),
  ...sigmaSpacings,
  ...flowSpacing,
  ...spacing("linspace"),
  ...dynamicShifting,
};

/** The options of {@linkcode DEISMultistepScheduler}; names and meanings are those of diffusers. */
export type DEISMultistepConfig = Readonly<OptionValues<typeof OPTIONS>>;

// With fewer steps than this the last two are of lower order when `lowerOrderFinal` says so.
const FEW_STEPS = 15;

/**
 * DEIS: one model call a step, up to third order.
 *
 * @example
 * ```ts
 * import { DEISMultistepScheduler } from "./deis_multistep.ts";
 * const scheduler = new DEISMultistepScheduler({ solverOrder: 3 });
 * scheduler.setTimesteps(20);
 * console.assert(scheduler.plan()[19].history.length === 3);
 * ```
 */
export class DEISMultistepScheduler extends ExponentialScheduler<DEISMultistepConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<DEISMultistepConfig> = {}) {
    super("DEISMultistepScheduler", readOptions("DEISMultistepScheduler", OPTIONS, options));
    this.checkSpacings(this.config);
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "originalInferenceSteps", "strength");
    const stops = this.spaced(numInferenceSteps, options.mu);
    this.setRun(stops, this.respaced ? stops.sigmas[stops.sigmas.length - 1] : this.lowestSigma);
  }

  protected steps(begin: number): StepPlan[] {
    const { solverOrder, lowerOrderFinal } = this.config;
    const levels = this.levels;
    const count = this.timesteps.length;
    const few = lowerOrderFinal && count < FEW_STEPS;
    return this.timesteps.slice(begin).map((timestep, index) => {
      const place = begin + index;
      const limit = few ? count - place : solverOrder;
      const reached = levels.slice(begin, place + 1).reverse().map((level) => -lambda(level));
      const nodes = reached.slice(0, Math.min(solverOrder, limit, distinctLength(reached)));
      const target = levels[place + 1];
      const weights = lagrangeIntegrals(nodes, nodes[0], -lambda(target), Math.exp);
      return {
        timestep,
        inputScale: 1,
        ...this.conversion("noise", levels[place]),
        sample: target.alpha / levels[place].alpha,
        history: weights.map((weight) => target.alpha * weight),
        noise: 0,
        drawsNoise: false,
      };
    });
  }
}
