// DDIM (arXiv 2010.02502): the first-order method, with any share of DDPM's noise. In: options, a number of steps. Out: the
// coefficients of every step.

import { prediction, sampleClipping, spacing, thresholding, training } from "./common_options.ts";
import { flag, type OptionValues, readOptions } from "./config.ts";
import { DiscreteScheduler } from "./discrete_scheduler.ts";
import { cleanPrediction, clipOf, noiseBeside, noisePrediction } from "./prediction.ts";
import type { PlanOptions, StepPlan, TimestepOptions } from "./scheduler.ts";

const OPTIONS = {
  ...training(),
  ...prediction,
  ...thresholding,
  ...sampleClipping(true),
  ...spacing("leading"),
  setAlphaToOne: flag(true),
  rescaleBetasZeroSnr: flag(false),
};

/** The options of {@linkcode DDIMScheduler}; names and meanings are those of diffusers. */
export type DDIMConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * DDIM: one model call a step, first order, without noise unless `eta` is given to `plan()`.
 *
 * @example
 * ```ts
 * import { DDIMScheduler } from "./ddim.ts";
 * const scheduler = new DDIMScheduler({ clipSample: false });
 * scheduler.setTimesteps(50);
 * console.assert(scheduler.plan({ eta: 1 }).every((step) => step.drawsNoise));
 * ```
 */
export class DDIMScheduler extends DiscreteScheduler<DDIMConfig> {
  #stride = 1;

  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value.
   */
  constructor(options: Partial<DDIMConfig> = {}) {
    super("DDIMScheduler", readOptions("DDIMScheduler", OPTIONS, options));
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    this.setTimestepStops(this.spacedTimesteps(numInferenceSteps));
    this.#stride = Math.floor(this.config.numTrainTimesteps / numInferenceSteps);
  }

  protected steps(begin: number, { eta = 0, useClippedModelOutput = false }: PlanOptions): StepPlan[] {
    const { predictionType, setAlphaToOne } = this.config;
    const clip = clipOf(this.config);
    return this.timesteps.slice(begin).map((timestep) => {
      const alpha = this.alphaAt(timestep);
      // The next stop is a stride away even where the timesteps are spaced otherwise.
      const next = timestep - this.#stride;
      const nextAlpha = next >= 0 ? this.alphaAt(next) : setAlphaToOne ? 1 : this.alphaAt(0);
      const level = this.level(timestep);
      const clean = cleanPrediction(predictionType, level);
      const noise = noisePrediction(predictionType, level);
      const fresh = eta * Math.sqrt((1 - nextAlpha) / (1 - alpha) * (1 - alpha / nextAlpha));
      const [keep, add] = [Math.sqrt(nextAlpha), Math.sqrt(1 - nextAlpha - fresh ** 2)];
      const step = { timestep, inputScale: 1, noise: fresh, drawsNoise: eta > 0 };
      if (!clip) {
        return {
          ...step,
          convert: { sample: 0, output: 1 },
          sample: keep * clean.sample + add * noise.sample,
          history: [keep * clean.output + add * noise.output],
        };
      }
      if (useClippedModelOutput) {
        const beside = noiseBeside(level);
        const history = [keep + add * beside.output];
        return { ...step, convert: clean, clip, sample: add * beside.sample, history };
      }
      return {
        ...step,
        convert: clean,
        clip,
        sample: add * noise.sample,
        history: [keep],
        rawOutput: add * noise.output,
      };
    });
  }
}
