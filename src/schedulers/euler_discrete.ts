// Euler's method over the noise level (arXiv 2206.00364, algorithm 2). In: options, a number of steps. Out: the coefficients
// of every step.

import { sigmaSpacings, spacing, training } from "./common_options.ts";
import { choice, flag, nullable, number, type OptionValues, readOptions } from "./config.ts";
import { noiseToSignal } from "./noise_schedule.ts";
import type { PlanOptions, StepPlan, TimestepOptions } from "./scheduler.ts";
import { SigmaScheduler } from "./sigma_scheduler.ts";
import type { Stops } from "./solver_stops.ts";
import { evenly, timestepOf } from "./spacing.ts";

const OPTIONS = {
  ...training(),
  predictionType: choice(["epsilon", "sample", "v_prediction"], "epsilon", { original_sample: "sample" }),
  interpolationType: choice(["linear", "log_linear"], "linear"),
  ...sigmaSpacings,
  sigmaMin: nullable(number(0, "a number above 0", (value) => value > 0)),
  sigmaMax: nullable(number(0, "a number above 0", (value) => value > 0)),
  ...spacing("linspace"),
  timestepType: choice(["discrete", "continuous"], "discrete"),
  rescaleBetasZeroSnr: flag(false),
  finalSigmasType: choice(["zero", "sigma_min"], "zero"),
};

/** The options of {@linkcode EulerDiscreteScheduler}; names and meanings are those of diffusers. */
export type EulerDiscreteConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * Euler's method: one model call a step, first order, without noise unless `sChurn` is given to `plan()`.
 *
 * @example
 * ```ts
 * import { EulerDiscreteScheduler } from "./euler_discrete.ts";
 * const scheduler = new EulerDiscreteScheduler({ useKarrasSigmas: true });
 * scheduler.setTimesteps(20);
 * console.assert(scheduler.sigmas[20] === 0);
 * ```
 */
export class EulerDiscreteScheduler extends SigmaScheduler<EulerDiscreteConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<EulerDiscreteConfig> = {}) {
    super("EulerDiscreteScheduler", readOptions("EulerDiscreteScheduler", OPTIONS, options), 2 ** -24);
    this.checkSpacings(this.config);
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "mu", "originalInferenceSteps", "strength");
    const stops = options.sigmas ? this.#chosenSigmas(options) : this.#stops(numInferenceSteps, options.timesteps);
    const sigmas = stops.sigmas.map(Math.fround);
    const times = this.#continuous ? sigmas.slice(0, -1).map((sigma) => 0.25 * Math.log(sigma)) : stops.timesteps;
    this.setStops(times.map(Math.fround), sigmas);
  }

  get #continuous(): boolean {
    return this.config.timestepType === "continuous" && this.config.predictionType === "v_prediction";
  }

  /** The noise levels that the caller chose, down to the final one. */
  #chosenSigmas({ sigmas = [], timesteps }: TimestepOptions): Stops {
    if (timesteps) this.refuse("set timesteps", "timesteps and sigmas exclude each other", "both are given");
    if (sigmas.length < 2 || !sigmas.every((sigma) => sigma >= 0)) {
      this.refuse("take sigmas", "they must be at least 0, two at least", `[${sigmas.join(", ")}]`);
    }
    const logs = this.logSigmas;
    return { sigmas: [...sigmas], timesteps: sigmas.slice(0, -1).map((sigma) => timestepOf(Math.fround(sigma), logs)) };
  }

  #stops(asked: number, timesteps: readonly number[] | undefined): Stops {
    if (timesteps && this.#continuous) {
      this.refuse("take timesteps", 'timestepType "continuous" chooses them by the noise levels', "they are given");
    }
    const times = timesteps ? this.chosenTimesteps(timesteps) : this.spacedTimesteps(asked);
    const count = timesteps ? times.length : asked;
    const levels = noiseToSignal(this.alphas);
    let stops = this.stopsAt(times, count);
    if (this.config.interpolationType === "log_linear") {
      const top = levels.length - 1;
      const sigmas = evenly(Math.log(levels[top]), Math.log(levels[0]), count + 1).map(Math.exp);
      stops = this.respaced({ timesteps: times, sigmas }, count, false);
    }
    const last = this.config.finalSigmasType === "zero" ? 0 : levels[0];
    return { timesteps: stops.timesteps, sigmas: [...stops.sigmas, last] };
  }

  protected steps(begin: number, options: PlanOptions): StepPlan[] {
    const { sChurn = 0, sTmin = 0, sTmax = Infinity, sNoise = 1 } = options;
    const churn = Math.min(sChurn / (this.sigmas.length - 1), Math.SQRT2 - 1);
    return this.timesteps.slice(begin).map((timestep, index) => {
      const [sigma, next] = this.sigmas.slice(begin + index);
      const gamma = sigma >= sTmin && sigma <= sTmax ? churn : 0;
      // More noise is added after the model was asked, so the derivative there is that of a sample with a little less.
      const raised = sigma * (gamma + 1);
      const { convert } = this.derivative(sigma);
      const slope = { sample: convert.sample * sigma / raised, output: convert.output };
      if (this.config.predictionType !== "epsilon") slope.output *= sigma / raised;
      const kept = 1 + (next - raised) * slope.sample;
      return {
        timestep,
        inputScale: this.inputScale(sigma),
        convert: slope,
        sample: 1,
        history: [next - raised],
        noise: kept * sNoise * Math.sqrt(raised ** 2 - sigma ** 2),
        drawsNoise: gamma > 0,
      };
    });
  }
}
