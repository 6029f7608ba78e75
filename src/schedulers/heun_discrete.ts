// Heun's method over the noise level (arXiv 2206.00364, algorithm 1). In: options, a number of steps. Out: the coefficients of
// every model call, two a step but for the last.

import { prediction, sampleClipping, sigmaSpacings, spacing, training } from "./common_options.ts";
import { choice, type OptionValues, readOptions } from "./config.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";
import { SigmaScheduler } from "./sigma_scheduler.ts";

const OPTIONS = {
  ...training(0.00085, 0.012),
  betaSchedule: choice(["linear", "scaled_linear", "squaredcos_cap_v2", "exp"], "linear"),
  ...prediction,
  ...sigmaSpacings,
  ...sampleClipping(false),
  ...spacing("linspace"),
};

/** The options of {@linkcode HeunDiscreteScheduler}; names and meanings are those of diffusers. */
export type HeunDiscreteConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * Heun's method: two model calls a step, second order.
 *
 * @example
 * ```ts
 * import { HeunDiscreteScheduler } from "./heun_discrete.ts";
 * const scheduler = new HeunDiscreteScheduler({ betaStart: 0.0001, betaEnd: 0.02 });
 * scheduler.setTimesteps(10);
 * console.assert(scheduler.plan().length === 19);
 * ```
 */
export class HeunDiscreteScheduler extends SigmaScheduler<HeunDiscreteConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<HeunDiscreteConfig> = {}) {
    super("HeunDiscreteScheduler", readOptions("HeunDiscreteScheduler", OPTIONS, options));
    this.checkSpacings(this.config);
  }

  override get callsPerStep(): number {
    return 2;
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "sigmas", "mu", "originalInferenceSteps", "strength");
    const chosen = options.timesteps;
    const times = chosen ? this.chosenTimesteps(chosen) : this.spacedTimesteps(numInferenceSteps);
    const stops = this.stopsAt(times, chosen ? times.length : numInferenceSteps);
    const twice = (values: number[]) => values.flatMap((value, index) => index === 0 ? [value] : [value, value]);
    this.setStops(twice(stops.timesteps.map(Math.fround)), [...twice(stops.sigmas.map(Math.fround)), 0]);
  }

  protected steps(begin: number): StepPlan[] {
    return this.timesteps.slice(begin).map((timestep, index) => {
      // A run begins with a first stage wherever it begins.
      const second = index % 2 === 1;
      const place = begin + index;
      const [from, to] = this.sigmas.slice(second ? place - 1 : place);
      const sigma = second ? to : from;
      return {
        timestep,
        inputScale: this.inputScale(this.sigmas[place]),
        ...this.derivative(sigma),
        sample: 1,
        // The second stage takes half of the first back and puts half of its own in its place.
        history: second ? [(to - from) / 2, (from - to) / 2] : [to - from],
        noise: 0,
        drawsNoise: false,
      };
    });
  }
}
