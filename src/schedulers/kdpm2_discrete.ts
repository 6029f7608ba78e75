// The midpoint method over log sigma, as k-diffusion has it for the second-order DPM-Solver. In: options, a number of steps.
// Out: the coefficients of every model call, two a step but for the last.

import { sigmaSpacings, spacing, training } from "./common_options.ts";
import { choice, type OptionValues, readOptions } from "./config.ts";
import { middleSigma, midpointCalls, midpointSigmas, midpointTimesteps } from "./midpoint.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";
import { SigmaScheduler } from "./sigma_scheduler.ts";

const OPTIONS = {
  ...training(0.00085, 0.012),
  ...sigmaSpacings,
  predictionType: choice(["epsilon", "v_prediction"], "epsilon"),
  ...spacing("linspace"),
};

/** The options of {@linkcode KDPM2DiscreteScheduler}; names and meanings are those of diffusers. */
export type KDPM2DiscreteConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * The midpoint method: two model calls a step, second order.
 *
 * @example
 * ```ts
 * import { KDPM2DiscreteScheduler } from "./kdpm2_discrete.ts";
 * const scheduler = new KDPM2DiscreteScheduler({ betaStart: 0.0001, betaEnd: 0.02 });
 * scheduler.setTimesteps(10);
 * console.assert(scheduler.plan().length === 19);
 * ```
 */
export class KDPM2DiscreteScheduler extends SigmaScheduler<KDPM2DiscreteConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<KDPM2DiscreteConfig> = {}) {
    super("KDPM2DiscreteScheduler", readOptions("KDPM2DiscreteScheduler", OPTIONS, options));
    this.checkSpacings(this.config);
  }

  override get callsPerStep(): number {
    return 2;
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    const stops = this.stopsAt(this.spacedTimesteps(numInferenceSteps), numInferenceSteps, true);
    const sigmas = [...stops.sigmas, 0].map(Math.fround);
    const middles = sigmas.slice(0, -2).map((sigma, index) => middleSigma(sigma, sigmas[index + 1]));
    const times = midpointTimesteps(stops.timesteps, middles, this.logSigmas);
    this.setStops(times.map(Math.fround), midpointSigmas(sigmas));
  }

  protected steps(begin: number): StepPlan[] {
    return midpointCalls(this.timesteps, this.sigmas, begin).map(({ timestep, from, to, second }) => {
      const middle = middleSigma(from, to);
      const sigma = second ? middle : from;
      return {
        timestep,
        inputScale: this.inputScale(sigma),
        ...this.derivative(sigma),
        sample: 1,
        history: second ? [to - from, from - middle] : [middle - from],
        noise: 0,
        drawsNoise: false,
      };
    });
  }
}
