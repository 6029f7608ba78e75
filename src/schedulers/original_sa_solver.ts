// SA-Solver (arXiv 2309.05019) as the original PixArt repository samples with it: in continuous time, down to the first
// training step, each move as stochastic as its end says. In: options, a number of steps. Out: the coefficients of every step.

import { choice, number, type OptionValues, readOptions } from "./config.ts";
import { lambda } from "./dpm_solver_step.ts";
import { evenFloats } from "./noise_schedule.ts";
import { ContinuousSchedule, originalAlphas } from "./original_schedule.ts";
import { PlanningScheduler } from "./planning_scheduler.ts";
import { conversion } from "./prediction.ts";
import { correctAndPredict } from "./predictor_corrector.ts";
import { saCorrection, type SAMove, saPrediction } from "./sa_solver_step.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";

const OPTIONS = {
  noiseSchedule: choice(["linear", "squaredcos_cap_v2"], "linear"),
  diffusionSteps: number(1000, "a whole number above 1", (value) => Number.isInteger(value) && value > 1),
  algorithmType: choice(["data_prediction", "noise_prediction"], "data_prediction"),
  // With a predictor of order 4 a step would read five outputs.
  predictorOrder: number(2, "1, 2 or 3", (value) => [1, 2, 3].includes(value)),
  correctorOrder: number(2, "1, 2, 3 or 4", (value) => [1, 2, 3, 4].includes(value)),
  eta: number(1, "a number from 0 on", (value) => value >= 0),
  skipType: choice(["time", "logSNR"], "time"),
  skipOrder: number(1, "a number above 0", (value) => value > 0),
};

/** The options of {@linkcode SASolverSampler}; names and meanings are those of the original repository. */
export type SASolverSamplerConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * The SA-Solver of the original repository: one model call and one draw of noise a step. The original draws once more before
 * its first step and throws that away; it does so on a GPU, whose numbers no CPU generator gives, so here it draws no such.
 *
 * @example
 * ```ts
 * import { SASolverSampler } from "./original_sa_solver.ts";
 * const sampler = new SASolverSampler();
 * sampler.setTimesteps(25);
 * console.assert(sampler.plan()[24].noise === 0);
 * ```
 */
export class SASolverSampler extends PlanningScheduler<SASolverSamplerConfig> {
  readonly #schedule: ContinuousSchedule;
  #times: number[] = [];

  /**
   * @param options What differs from what the original's scripts use.
   * @throws {ConfigError} When an option has a wrong value.
   */
  constructor(options: Partial<SASolverSamplerConfig> = {}) {
    super("SASolverSampler", readOptions("SASolverSampler", OPTIONS, options));
    const { noiseSchedule, diffusionSteps } = this.config;
    const alphas = originalAlphas(noiseSchedule, diffusionSteps);
    this.#schedule = new ContinuousSchedule(alphas.map(Math.fround));
    const steps = this.#schedule.steps;
    const times = Array.from({ length: steps }, (_, step) => (steps - step) / steps);
    this.setTrainingStops(
      times.map((time) => this.#schedule.modelTime(time)),
      times.map((time) => this.#schedule.ratio(time)),
    );
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    const { predictorOrder, correctorOrder, diffusionSteps } = this.config;
    this.checkRange(numInferenceSteps, diffusionSteps);
    const least = Math.max(predictorOrder, correctorOrder - 1);
    if (numInferenceSteps < least) {
      this.refuse("set timesteps", `these orders need ${least} at least`, String(numInferenceSteps));
    }
    this.#times = this.#stops(numInferenceSteps);
    const asked = this.#times.slice(0, -1);
    this.setStops(
      asked.map((time) => this.#schedule.modelTime(time)),
      this.#times.map((time) => this.#schedule.ratio(time)),
    );
  }

  #stops(count: number): number[] {
    const { skipType, skipOrder } = this.config;
    const end = 1 / this.#schedule.steps;
    if (skipType === "time") {
      return Array.from(evenFloats(1, end ** (1 / skipOrder), count + 1), (root) => Math.fround(root ** skipOrder));
    }
    const [first, last] = [1, end].map((time) => lambda(this.#schedule.level(time)));
    const places = evenFloats(0, (last - first) ** (1 / skipOrder), count + 1);
    return Array.from(places, (root) => this.#schedule.timeAt(first + root ** skipOrder));
  }

  /** How stochastic a move to a time is. */
  #tau(time: number): number {
    return time >= 0.2 && time <= 0.8 ? this.config.eta : 0;
  }

  protected steps(begin: number): StepPlan[] {
    const { predictorOrder, correctorOrder, algorithmType } = this.config;
    const clean = algorithmType === "data_prediction";
    const levels = this.#times.map((time) => this.#schedule.level(time));
    const count = this.timesteps.length;
    // Before this many outputs are known, the orders are as high as they can be, even at the end.
    const warm = Math.max(predictorOrder, correctorOrder - 1);
    let last: { move: SAMove; history: number[] } | undefined;
    return this.timesteps.slice(begin).map((timestep, index) => {
      const place = begin + index;
      const reached = levels.slice(begin, place + 1).reverse();
      const left = (known: number, at: number) => known < warm ? Infinity : count - at;
      const correction = last && saCorrection(
        last.move,
        reached.slice(0, Math.min(correctorOrder, index + 1, left(index, place) + 2)),
      );
      const final = place === count - 1;
      const tau = final ? 0 : this.#tau(this.#times[place + 1]);
      const move: SAMove = { clean, tau, target: levels[place + 1], from: levels[place] };
      const order = Math.min(predictorOrder, index + 1, left(index + 1, place));
      const prediction = saPrediction(move, reached.slice(0, order));
      const step = correctAndPredict(prediction, correction, last?.history ?? []);
      last = { move, history: prediction.history };
      return {
        timestep,
        inputScale: 1,
        ...conversion(clean ? "clean" : "noise", "epsilon", levels[place], undefined),
        ...step,
        drawsNoise: true,
      };
    });
  }

  addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array {
    return this.#schedule.addNoise(original, noise, timesteps);
  }
}
