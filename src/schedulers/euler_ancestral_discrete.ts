// Euler's method with ancestral noise: each step goes below the next noise level and adds noise up to it. In: options, a
// number of steps. Out: the coefficients of every step.

import { spacing, training } from "./common_options.ts";
import { choice, flag, type OptionValues, readOptions } from "./config.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";
import { SigmaScheduler } from "./sigma_scheduler.ts";

const OPTIONS = {
  ...training(),
  predictionType: choice(["epsilon", "v_prediction"], "epsilon"),
  ...spacing("linspace"),
  rescaleBetasZeroSnr: flag(false),
};

/** The options of {@linkcode EulerAncestralDiscreteScheduler}; names and meanings are those of diffusers. */
export type EulerAncestralDiscreteConfig = Readonly<OptionValues<typeof OPTIONS>>;

const round = Math.fround;

/**
 * The levels of an ancestral step.
 * @param from The present noise level.
 * @param to The next one.
 * @returns `down`: the level to step to; `up`: the noise that lifts a sample from there to `to`.
 */
export function ancestralLevels(from: number, to: number): { down: number; up: number } {
  const [square, next] = [round(from * from), round(to * to)];
  const up = round(Math.sqrt(round(round(next * round(square - next)) / square)));
  // It would be to^2 / from, but the reference takes the small difference of two squares, and its digits reach the picture.
  return { down: round(Math.sqrt(round(next - round(up * up)))), up };
}

/**
 * Euler's method with ancestral noise: one model call and one draw of noise a step.
 *
 * @example
 * ```ts
 * import { EulerAncestralDiscreteScheduler } from "./euler_ancestral_discrete.ts";
 * const scheduler = new EulerAncestralDiscreteScheduler();
 * scheduler.setTimesteps(20);
 * console.assert(scheduler.plan().every((step) => step.drawsNoise));
 * ```
 */
export class EulerAncestralDiscreteScheduler extends SigmaScheduler<EulerAncestralDiscreteConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value.
   */
  constructor(options: Partial<EulerAncestralDiscreteConfig> = {}) {
    const name = "EulerAncestralDiscreteScheduler";
    super(name, readOptions(name, OPTIONS, options), 2 ** -24);
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    const { timesteps, sigmas } = this.stopsAt(this.spacedTimesteps(numInferenceSteps), numInferenceSteps);
    this.setStops(timesteps, [...sigmas, 0].map(Math.fround));
  }

  protected steps(begin: number): StepPlan[] {
    return this.timesteps.slice(begin).map((timestep, index) => {
      const [sigma, next] = this.sigmas.slice(begin + index);
      const { down, up } = ancestralLevels(sigma, next);
      return {
        timestep,
        inputScale: this.inputScale(sigma),
        ...this.derivative(sigma),
        sample: 1,
        history: [down - sigma],
        noise: up,
        drawsNoise: true,
      };
    });
  }
}
