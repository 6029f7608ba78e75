// The linear multistep method over the noise level, on unevenly spaced levels. In: options, a number of steps. Out: the
// coefficients of every step.

import { prediction, sigmaSpacings, spacing, training } from "./common_options.ts";
import { type OptionValues, readOptions } from "./config.ts";
import { distinctLength, lagrangeIntegrals } from "./lagrange_integrals.ts";
import type { PlanOptions, StepPlan, TimestepOptions } from "./scheduler.ts";
import { SigmaScheduler } from "./sigma_scheduler.ts";

const OPTIONS = {
  ...training(),
  ...sigmaSpacings,
  ...prediction,
  ...spacing("linspace"),
};

/** The options of {@linkcode LMSDiscreteScheduler}; names and meanings are those of diffusers. */
export type LMSDiscreteConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * The linear multistep method: one model call a step, up to fourth order.
 *
 * @example
 * ```ts
 * import { LMSDiscreteScheduler } from "./lms_discrete.ts";
 * const scheduler = new LMSDiscreteScheduler();
 * scheduler.setTimesteps(20);
 * console.assert(scheduler.plan()[19].history.length === 4);
 * ```
 */
export class LMSDiscreteScheduler extends SigmaScheduler<LMSDiscreteConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<LMSDiscreteConfig> = {}) {
    super("LMSDiscreteScheduler", readOptions("LMSDiscreteScheduler", OPTIONS, options));
    this.checkSpacings(this.config);
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    const { timesteps, sigmas } = this.stopsAt(this.spacedTimesteps(numInferenceSteps), numInferenceSteps);
    this.setStops(timesteps.map(Math.fround), [...sigmas, 0].map(Math.fround));
  }

  protected steps(begin: number, { order = 4 }: PlanOptions): StepPlan[] {
    if (![1, 2, 3, 4].includes(order)) this.refuse("plan", "order must be 1, 2, 3 or 4", String(order));
    return this.timesteps.slice(begin).map((timestep, index) => {
      const place = begin + index;
      const reached = this.sigmas.slice(begin, place + 1).reverse().slice(0, order);
      const nodes = reached.slice(0, distinctLength(reached));
      return {
        timestep,
        inputScale: this.inputScale(this.sigmas[place]),
        ...this.derivative(this.sigmas[place]),
        sample: 1,
        history: lagrangeIntegrals(nodes, this.sigmas[place], this.sigmas[place + 1]),
        noise: 0,
        drawsNoise: false,
      };
    });
  }
}
