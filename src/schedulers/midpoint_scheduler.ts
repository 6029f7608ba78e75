// The midpoint method over log sigma: the second call of a step is in its middle. In: options, and where a step lands. Out: the stops
// and the coefficients of every model call, two a step but for the last.

import { sigmaSpacings, spacing, training } from "./common_options.ts";
import { choice, type OptionValues, readOptions } from "./config.ts";
import type { TimestepOptions } from "./scheduler.ts";
import { timestepOf } from "./spacing.ts";
import { type StageCall, twiceButFirst, TwoCallScheduler } from "./two_call_scheduler.ts";

const OPTIONS = {
  ...training(0.00085, 0.012),
  ...sigmaSpacings,
  predictionType: choice(["epsilon", "v_prediction"], "epsilon"),
  ...spacing("linspace"),
};

/** The options of a midpoint method; names and meanings are those of diffusers. */
export type MidpointConfig = Readonly<OptionValues<typeof OPTIONS>>;

const round = Math.fround;

/** The noise level in the middle of two by their logarithms, rounded as PyTorch's lerp and exp are. */
export function middleSigma(from: number, to: number): number {
  if (to === 0) return 0;
  const [first, last] = [round(Math.log(from)), round(Math.log(to))];
  return round(Math.exp(round(last - round(round(last - first) * 0.5))));
}

/** The frame of a midpoint method. */
export abstract class MidpointScheduler extends TwoCallScheduler<MidpointConfig> {
  protected constructor(owner: string, options: Partial<MidpointConfig>) {
    super(owner, readOptions(owner, OPTIONS, options));
    this.checkSpacings(this.config);
  }

  /**
   * The noise level that a step goes down to by what the model says.
   * @param from Where it starts.
   * @param to Where it ends.
   */
  protected abstract landing(from: number, to: number): number;

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    const stops = this.stopsAt(this.spacedTimesteps(numInferenceSteps), numInferenceSteps, true);
    const sigmas = [...stops.sigmas, 0].map(round);
    const logs = this.logSigmas;
    const times = stops.timesteps.flatMap((timestep, index) => {
      if (index === 0) return [timestep];
      const [from, to] = sigmas.slice(index - 1);
      return [timestepOf(this.#middle(from, to), logs, round), timestep];
    });
    // As diffusers lists them: the last level stands three times.
    this.setStops(times.map(round), [...twiceButFirst(sigmas), 0]);
  }

  #middle(from: number, to: number): number {
    return middleSigma(from, this.landing(from, to));
  }

  protected call(from: number, to: number, isSecond: boolean): StageCall {
    const middle = this.#middle(from, to);
    if (!isSecond) return { sigma: from, history: [middle - from] };
    return { sigma: middle, history: [this.landing(from, to) - from, from - middle] };
  }
}
