// DDPM (arXiv 2006.11239): ancestral sampling between training steps, with fixed or learned variance. In: options, a number
// of steps. Out: the coefficients of every step.

import { prediction, sampleClipping, spacing, thresholding, training } from "./common_options.ts";
import { choice, flag, type OptionValues, readOptions } from "./config.ts";
import { DiscreteScheduler } from "./discrete_scheduler.ts";
import { learnedNoise, type Posterior, posterior } from "./posterior.ts";
import { cleanPrediction, clipOf } from "./prediction.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";

const OPTIONS = {
  ...training(),
  betaSchedule: choice(["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"], "linear"),
  varianceType: choice(
    ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"],
    "fixed_small",
  ),
  ...prediction,
  ...thresholding,
  ...sampleClipping(true),
  ...spacing("leading"),
  rescaleBetasZeroSnr: flag(false),
};

/** The options of {@linkcode DDPMScheduler}; names and meanings are those of diffusers. */
export type DDPMConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * DDPM: one model call and one draw of noise a step. With the timesteps [400] it is the one step of DMD.
 *
 * @example
 * ```ts
 * import { DDPMScheduler } from "./ddpm.ts";
 * const scheduler = new DDPMScheduler({ varianceType: "learned_range", clipSample: false });
 * scheduler.setTimesteps(100);
 * console.assert(scheduler.plan()[0].noiseScale?.kind === "exponential");
 * ```
 */
export class DDPMScheduler extends DiscreteScheduler<DDPMConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value.
   */
  constructor(options: Partial<DDPMConfig> = {}) {
    super("DDPMScheduler", readOptions("DDPMScheduler", OPTIONS, options));
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "sigmas", "mu", "originalInferenceSteps", "strength");
    const { timesteps } = options;
    this.setTimestepStops(timesteps ? this.fallingTimesteps(timesteps) : this.spacedTimesteps(numInferenceSteps));
  }

  protected steps(begin: number): StepPlan[] {
    const { predictionType } = this.config;
    const clip = clipOf(this.config);
    return this.timesteps.slice(begin).map((timestep, index) => {
      const next = this.timesteps[begin + index + 1] ?? -1;
      const { alpha, nextAlpha } = { alpha: this.alphaAt(timestep), nextAlpha: next >= 0 ? this.alphaAt(next) : 1 };
      const mean = posterior(alpha, nextAlpha, Math.fround);
      const drawsNoise = timestep > 0;
      return {
        timestep,
        inputScale: 1,
        convert: cleanPrediction(predictionType, this.level(timestep)),
        ...(clip && { clip }),
        sample: mean.sample,
        history: [mean.clean],
        ...(drawsNoise ? this.#noise(mean) : { noise: 0 }),
        drawsNoise,
      };
    });
  }

  #noise({ variance, beta }: Posterior): Pick<StepPlan, "noise" | "noiseScale"> {
    // The variance of the step that ends at the clean sample is 0.
    const lowest = Math.max(variance, 1e-20);
    switch (this.config.varianceType) {
      case "fixed_small":
      case "fixed_small_log":
        return { noise: Math.sqrt(lowest) };
      // diffusers takes the root of a negative logarithm for fixed_large_log; what is meant is the same as fixed_large.
      case "fixed_large":
      case "fixed_large_log":
        return { noise: Math.sqrt(beta) };
      case "learned":
        return { noise: 1, noiseScale: { kind: "root" } };
      case "learned_range":
        return learnedNoise(lowest, beta);
    }
  }
}
