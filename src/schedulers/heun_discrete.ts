// Heun's method over the noise level (arXiv 2206.00364, algorithm 1). In: options, a number of steps. Out: the coefficients of
// every model call, two a step but for the last.

import { prediction, sampleClipping, sigmaSpacings, spacing, training } from "./common_options.ts";
import { choice, type OptionValues, readOptions } from "./config.ts";
import type { TimestepOptions } from "./scheduler.ts";
import { type StageCall, twiceButFirst, TwoCallScheduler } from "./two_call_scheduler.ts";

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
export class HeunDiscreteScheduler extends TwoCallScheduler<HeunDiscreteConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<HeunDiscreteConfig> = {}) {
    super("HeunDiscreteScheduler", readOptions("HeunDiscreteScheduler", OPTIONS, options));
    this.checkSpacings(this.config);
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "sigmas", "mu", "originalInferenceSteps", "strength");
    const chosen = options.timesteps;
    const times = chosen ? this.chosenTimesteps(chosen) : this.spacedTimesteps(numInferenceSteps);
    const stops = this.stopsAt(times, chosen ? times.length : numInferenceSteps);
    const [timesteps, sigmas] = [stops.timesteps, stops.sigmas].map((values) => twiceButFirst(values.map(Math.fround)));
    this.setStops(timesteps, [...sigmas, 0]);
  }

  protected call(from: number, to: number, isSecond: boolean): StageCall {
    if (!isSecond) return { sigma: from, history: [to - from] };
    // It takes half of the first call back and puts half of its own in its place.
    return { sigma: to, history: [(to - from) / 2, (from - to) / 2] };
  }
}
