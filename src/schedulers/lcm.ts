// The sampler of latent consistency models (arXiv 2310.04378): each step predicts the clean sample and adds noise again. In:
// options, a number of steps. Out: the coefficients of every step.

import { prediction, sampleClipping, spacing, thresholding, training } from "./common_options.ts";
import { choice, flag, number, type OptionValues, readOptions } from "./config.ts";
import { DiscreteScheduler } from "./discrete_scheduler.ts";
import { cleanPrediction, clipOf } from "./prediction.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";

const OPTIONS = {
  ...training(0.00085, 0.012),
  betaSchedule: choice(["linear", "scaled_linear", "squaredcos_cap_v2"], "scaled_linear"),
  originalInferenceSteps: number(50, "a whole number above 0", (value) => Number.isInteger(value) && value > 0),
  ...prediction,
  ...thresholding,
  ...sampleClipping(false),
  setAlphaToOne: flag(true),
  ...spacing("leading"),
  timestepScaling: number(10, "a number above 0", (value) => value > 0),
  rescaleBetasZeroSnr: flag(false),
};

/** The options of {@linkcode LCMScheduler}; names and meanings are those of diffusers. */
export type LCMConfig = Readonly<OptionValues<typeof OPTIONS>>;

// The standard deviation of the data that the boundary condition of consistency models was made for.
const SIGMA_DATA = 0.5;

/**
 * The sampler of latent consistency models: a few model calls without guidance. The betas that nothing given stands for are
 * not PixArt's: take the config of the checkpoint.
 *
 * @example
 * ```ts
 * import { LCMScheduler } from "./lcm.ts";
 * const scheduler = new LCMScheduler({ betaSchedule: "linear", betaStart: 0.0001, betaEnd: 0.02 });
 * scheduler.setTimesteps(4);
 * console.assert(scheduler.timesteps.join() === "999,759,499,259");
 * ```
 */
export class LCMScheduler extends DiscreteScheduler<LCMConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value.
   */
  constructor(options: Partial<LCMConfig> = {}) {
    super("LCMScheduler", readOptions("LCMScheduler", OPTIONS, options));
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "sigmas", "mu");
    const { timesteps, originalInferenceSteps = this.config.originalInferenceSteps, strength = 1 } = options;
    const { numTrainTimesteps } = this.config;
    if (!(strength > 0 && strength <= 1)) {
      this.refuse("set timesteps", "strength must be above 0 and at most 1", `${strength}`);
    }
    if (timesteps) {
      const chosen = this.fallingTimesteps(timesteps);
      this.setTimestepStops(chosen.slice(chosen.length - Math.floor(chosen.length * strength)));
      return;
    }
    this.checkCount(originalInferenceSteps);
    const stride = Math.floor(numTrainTimesteps / originalInferenceSteps);
    const taught = Array.from({ length: Math.floor(originalInferenceSteps * strength) }, (_, index) => {
      return (index + 1) * stride - 1;
    }).reverse();
    this.checkCount(numInferenceSteps, taught.length);
    const gap = taught.length / numInferenceSteps;
    this.setTimestepStops(Array.from({ length: numInferenceSteps }, (_, index) => taught[Math.floor(index * gap)]));
  }

  protected steps(begin: number): StepPlan[] {
    const { predictionType, timestepScaling } = this.config;
    const clip = clipOf(this.config);
    return this.timesteps.slice(begin).map((timestep, index) => {
      const next: number | undefined = this.timesteps[begin + index + 1];
      const scaled = timestep * timestepScaling;
      const skip = SIGMA_DATA ** 2 / (scaled ** 2 + SIGMA_DATA ** 2);
      const out = scaled / Math.sqrt(scaled ** 2 + SIGMA_DATA ** 2);
      const { alpha, sigma } = next === undefined ? { alpha: 1, sigma: 0 } : this.level(next);
      return {
        timestep,
        inputScale: 1,
        convert: cleanPrediction(predictionType, this.level(timestep)),
        ...(clip && { clip }),
        sample: alpha * skip,
        history: [alpha * out],
        noise: sigma,
        drawsNoise: next !== undefined,
      };
    });
  }
}
