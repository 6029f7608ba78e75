// IDDPM (arXiv 2102.09672) as the original PixArt repository samples with it: ancestral sampling on a respaced schedule in
// double precision, with the variance that the model learned. In: options, a number of steps. Out: the coefficients of every
// step.

import { choice, flag, nullable, number, type Option, type OptionValues, readOptions } from "./config.ts";
import { originalAlphas } from "./original_schedule.ts";
import { PlanningScheduler } from "./planning_scheduler.ts";
import { learnedNoise, posterior } from "./posterior.ts";
import { cleanPrediction } from "./prediction.ts";
import { mixNoise, type StepPlan, type TimestepOptions } from "./scheduler.ts";
import { roundHalfEven } from "./spacing.ts";

const text: Option<string> = {
  fallback: "",
  rule: 'a number, numbers with commas between them, or "ddim" and a number',
  read: (value) => typeof value === "string" && /^(ddim\d+|\d+(,\d+)*)$/.test(value) ? value : undefined,
};

const OPTIONS = {
  timestepRespacing: nullable(text),
  noiseSchedule: choice(["linear", "squaredcos_cap_v2"], "linear"),
  sigmaSmall: flag(false),
  predictXstart: flag(false),
  learnSigma: flag(true),
  diffusionSteps: number(1000, "a whole number above 1", (value) => Number.isInteger(value) && value > 1),
  clipDenoised: flag(false),
};

/** The options of {@linkcode IDDPM}; names and meanings are those of the original repository. */
export type IDDPMConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * Chooses training steps by the original's respacing rule.
 * @param total The number of training steps.
 * @param respacing "N": N steps from first to last; "A,B,...": as many in each of equal sections; "ddimN": N steps with one
 * whole stride.
 * @returns The steps, the cleanest first; undefined when there is no such choice.
 */
export function respacedTimesteps(total: number, respacing: string): number[] | undefined {
  if (respacing.startsWith("ddim")) {
    const wanted = Number(respacing.slice(4));
    const stride = Array.from({ length: total - 1 }, (_, index) => index + 1)
      .find((step) => Math.ceil(total / step) === wanted);
    return stride === undefined ? undefined : Array.from({ length: wanted }, (_, index) => index * stride);
  }
  const counts = respacing.split(",").map(Number);
  const small = Math.floor(total / counts.length);
  const steps: number[] = [];
  let start = 0;
  for (const [section, count] of counts.entries()) {
    const size = small + (section < total % counts.length ? 1 : 0);
    if (count > size) return undefined;
    const stride = count > 1 ? (size - 1) / (count - 1) : 1;
    let place = 0;
    for (let index = 0; index < count; index++) {
      steps.push(start + roundHalfEven(place));
      // Summed up, not multiplied: the sum of the original rounds to other steps at times.
      place += stride;
    }
    start += size;
  }
  return steps.length > 0 ? steps : undefined;
}

/**
 * The IDDPM sampler of the original repository: one model call and one draw of noise a step. The model's output must hold
 * the variance in its second half, unless `learnSigma` is false.
 *
 * @example
 * ```ts
 * import { IDDPM } from "./original_iddpm.ts";
 * const sampler = new IDDPM();
 * sampler.setTimesteps(100);
 * console.assert(sampler.timesteps[0] === 999 && sampler.timesteps[99] === 0);
 * ```
 */
export class IDDPM extends PlanningScheduler<IDDPMConfig> {
  /** [T] */
  readonly #alphas: number[];

  /**
   * @param options What differs from the defaults of the original.
   * @throws {ConfigError} When an option has a wrong value.
   */
  constructor(options: Partial<IDDPMConfig> = {}) {
    super("IDDPM", readOptions("IDDPM", OPTIONS, options));
    this.#alphas = originalAlphas(this.config.noiseSchedule, this.config.diffusionSteps);
    const all = this.#alphas.map((_, step) => step).reverse();
    this.setTrainingStops(all, all.map((step) => this.#sigma(step)));
  }

  /**
   * Chooses the times of a run.
   * @param numInferenceSteps The number of steps; not read when the config has a respacing or `options.timesteps` is given.
   * @throws {UsageError} When there is no such choice of training steps.
   */
  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "sigmas", "mu", "originalInferenceSteps", "strength");
    const { diffusionSteps, timestepRespacing } = this.config;
    const chosen = options.timesteps ?? this.#respaced(timestepRespacing ?? String(numInferenceSteps));
    const steps = [...new Set(chosen)].sort((a, b) => b - a);
    if (steps.length === 0 || !steps.every((step) => Number.isInteger(step) && step >= 0 && step < diffusionSteps)) {
      const rule = `they must be whole and from 0 to ${diffusionSteps - 1}, one at least`;
      this.refuse("take timesteps", rule, `[${steps.join(", ")}]`);
    }
    this.setStops(steps, [...steps.map((step) => this.#sigma(step)), 0]);
  }

  #respaced(respacing: string): number[] {
    const { diffusionSteps } = this.config;
    const steps = text.read(respacing) && respacedTimesteps(diffusionSteps, respacing);
    if (!steps) {
      const rule = `a section of ${diffusionSteps} training steps must hold as many, from 1 on, evenly`;
      this.refuse("set timesteps", rule, respacing);
    }
    return steps;
  }

  #sigma(step: number): number {
    return Math.sqrt((1 - this.#alphas[step]) / this.#alphas[step]);
  }

  protected steps(begin: number): StepPlan[] {
    const { learnSigma, sigmaSmall, predictXstart, clipDenoised } = this.config;
    return this.timesteps.slice(begin).map((timestep, index) => {
      const next: number | undefined = this.timesteps[begin + index + 1];
      const alpha = this.#alphas[timestep];
      const { clean, sample, beta, variance } = posterior(alpha, next === undefined ? 1 : this.#alphas[next]);
      const level = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha) };
      const noise = learnSigma ? learnedNoise(variance, beta) : { noise: Math.sqrt(sigmaSmall ? variance : beta) };
      return {
        timestep,
        inputScale: 1,
        convert: cleanPrediction(predictXstart ? "sample" : "epsilon", level),
        ...(clipDenoised && { clip: { kind: "range" as const, max: 1 } }),
        sample,
        history: [clean],
        ...(next === undefined ? { noise: 0 } : noise),
        // The original draws at the last step, too, and adds none of it.
        drawsNoise: true,
      };
    });
  }

  addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array {
    return mixNoise(
      original,
      noise,
      timesteps.map((timestep) => {
        const alpha: number | undefined = this.#alphas[timestep];
        if (alpha === undefined) {
          const rule = `the timestep must be whole and below ${this.#alphas.length}`;
          this.refuse("add noise", rule, String(timestep));
        }
        return [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
      }),
    );
  }
}
