// DPM-Solver as the original PixArt repository samples with it: in continuous time, down to the first training step and not
// to 0. In: options, a number of steps. Out: the coefficients of every model call.

import { choice, flag, nullable, number, type Option, type OptionValues, readOptions } from "./config.ts";
import {
  type DPMSolverAlgorithm,
  dpmSolverStep,
  lambda,
  type NoiseLevel,
  type StepFactors,
} from "./dpm_solver_step.ts";
import { evenFloats } from "./noise_schedule.ts";
import { ContinuousSchedule, originalAlphas } from "./original_schedule.ts";
import { PlanningScheduler } from "./planning_scheduler.ts";
import { noisePrediction } from "./prediction.ts";
import type { Mix, StepPlan, TimestepOptions } from "./scheduler.ts";
import { nextMove, singlestepMove } from "./singlestep_group.ts";

const lowering: Option<"always" | "few_steps" | "never"> = {
  fallback: "always",
  rule: 'true, false, or "few_steps" for only below 10 steps, which is PixArt-alpha\'s code',
  read: (value) => {
    if (value === true || value === "always") return "always";
    if (value === false || value === "never") return "never";
    return value === "few_steps" ? value : undefined;
  },
};
const time = nullable(number(0, "above 0 and at most 1", (value) => value > 0 && value <= 1));

const OPTIONS = {
  noiseSchedule: choice(["linear", "squaredcos_cap_v2"], "linear"),
  diffusionSteps: number(1000, "a whole number above 1", (value) => Number.isInteger(value) && value > 1),
  modelType: choice(["noise", "x_start", "v", "score"], "noise"),
  algorithmType: choice(["dpmsolver", "dpmsolver++"], "dpmsolver++"),
  thresholding: flag(false),
  dynamicThresholdingRatio: number(0.995, "in [0, 1]", (value) => value >= 0 && value <= 1),
  order: number(2, "1, 2 or 3", (value) => [1, 2, 3].includes(value)),
  skipType: choice(["time_uniform", "time_quadratic", "logSNR"], "time_uniform"),
  // The adaptive method chooses its steps by what it meets, and so cannot be planned.
  method: choice(["multistep", "singlestep", "singlestep_fixed"], "multistep"),
  lowerOrderFinal: lowering,
  denoiseToZero: flag(false),
  solverType: choice(["dpmsolver", "taylor"], "dpmsolver"),
  tStart: time,
  tEnd: time,
};

/** The options of {@linkcode DPMS}; names and meanings are those of the original repository. */
export type DPMSConfig = Readonly<OptionValues<typeof OPTIONS>>;

// The original's threshold has no upper limit.
const UNLIMITED = 3.4028234663852886e38;

/**
 * The DPM-Solver of the original repository (arXiv 2206.00927 and 2211.01095): one model call a step, at fractional times.
 * With `tStart` below `tEnd` it goes from a picture to its noise.
 *
 * @example
 * ```ts
 * import { DPMS } from "./original_dpms.ts";
 * const sampler = new DPMS();
 * sampler.setTimesteps(20);
 * console.assert(sampler.timesteps[0] === 999 && sampler.sigmas[20] > 0);
 * ```
 */
export class DPMS extends PlanningScheduler<DPMSConfig> {
  readonly #schedule: ContinuousSchedule;
  /** The times of each step's model calls, and behind them the time where the step ends. */
  #groups: number[][] = [];

  /**
   * @param options What differs from what the original's scripts use.
   * @throws {ConfigError} When an option has a wrong value.
   */
  constructor(options: Partial<DPMSConfig> = {}) {
    super("DPMS", readOptions("DPMS", OPTIONS, options));
    const { noiseSchedule, diffusionSteps } = this.config;
    this.#schedule = new ContinuousSchedule(originalAlphas(noiseSchedule, diffusionSteps));
    const steps = this.#schedule.steps;
    const times = Array.from({ length: steps }, (_, step) => (steps - step) / steps);
    this.setTrainingStops(
      times.map((time) => this.#schedule.modelTime(time)),
      times.map((time) => this.#schedule.ratio(time)),
    );
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    const { order, method, denoiseToZero, tStart, tEnd, diffusionSteps } = this.config;
    this.checkRange(numInferenceSteps, diffusionSteps);
    if (numInferenceSteps < order) {
      this.refuse("set timesteps", `there must be as many as the order, ${order}`, String(numInferenceSteps));
    }
    const [from, to] = [tStart ?? 1, tEnd ?? 1 / this.#schedule.steps];
    if (method === "multistep") {
      const times = this.#times(from, to, numInferenceSteps);
      this.#groups = times.slice(0, -1).map((time, index) => [time, times[index + 1]]);
    } else {
      this.#groups = this.#singlestepGroups(from, to, numInferenceSteps);
    }
    const calls = this.#groups.flatMap((group) => group.slice(0, -1));
    const end = this.#groups[this.#groups.length - 1].slice(-1);
    const asked = denoiseToZero ? [...calls, ...end] : calls;
    const last = denoiseToZero ? 0 : this.#schedule.ratio(end[0]);
    this.setStops(
      asked.map((time) => this.#schedule.modelTime(time)),
      [...asked.map((time) => this.#schedule.ratio(time)), last],
    );
  }

  /** The stops between two times, both included. */
  #times(from: number, to: number, count: number): number[] {
    switch (this.config.skipType) {
      case "time_uniform":
        return Array.from(evenFloats(from, to, count + 1));
      case "time_quadratic":
        return Array.from(evenFloats(Math.sqrt(from), Math.sqrt(to), count + 1), (root) => root * root);
      case "logSNR": {
        const [first, last] = [from, to].map((time) => lambda(this.#schedule.level(time)));
        return Array.from(evenFloats(first, last, count + 1), (place) => this.#schedule.timeAt(place));
      }
    }
  }

  #singlestepGroups(from: number, to: number, count: number): number[][] {
    const { order, method, skipType } = this.config;
    const whole = Math.floor(count / order);
    const orders = Array.from({ length: whole }, () => order);
    if (method === "singlestep") {
      const rest = count % order;
      // Of order 3, a last step of order 1 ends every run.
      if (order === 3 && rest === 0) orders.splice(-1, 1, 2, 1);
      else if (rest > 0) orders.push(rest);
    }
    let outer: number[];
    if (method === "singlestep_fixed" || skipType === "logSNR") outer = this.#times(from, to, orders.length);
    else {
      const times = this.#times(from, to, count);
      let place = 0;
      outer = [times[0], ...orders.map((size) => times[place += size])];
    }
    return orders.map((size, index) => this.#times(outer[index], outer[index + 1], size));
  }

  protected steps(begin: number): StepPlan[] {
    const { denoiseToZero, method } = this.config;
    const starts: number[] = [];
    let calls = 0;
    for (const group of this.#groups) {
      starts.push(calls);
      calls += group.length - 1;
    }
    const first = starts.findIndex((start) => start >= begin);
    if (begin < calls && starts[first] !== begin) {
      this.refuse("plan", "begin must be the first call of a step", String(begin));
    }
    const groups = begin < calls ? this.#groups.slice(first) : [];
    const steps = method === "multistep" ? this.#multistep(groups) : groups.flatMap((group) => this.#singlestep(group));
    if (!denoiseToZero) return steps;
    const end = this.#groups[this.#groups.length - 1].slice(-1)[0];
    return [...steps, this.#step(end, { sample: 0, history: [1], noise: 0 }, "dpmsolver++")];
  }

  #multistep(groups: readonly number[][]): StepPlan[] {
    const { order, lowerOrderFinal, algorithmType, solverType } = this.config;
    const levels = groups.map(([time]) => this.#schedule.level(time));
    const lowers = lowerOrderFinal === "always" || lowerOrderFinal === "few_steps" && groups.length < 10;
    return groups.map(([time, next], index) => {
      // The first steps are of lower order as they know less, and are not lowered for being the last, too.
      const limit = index + 1 < order ? index + 1 : lowers ? groups.length - index : order;
      const type = solverType === "taylor" ? "heun" : "midpoint";
      const before = levels.slice(0, index + 1).reverse();
      const target = this.#schedule.level(next);
      return this.#step(
        time,
        dpmSolverStep(algorithmType, type, Math.min(order, limit), target, before),
        algorithmType,
      );
    });
  }

  #singlestep(group: readonly number[]): StepPlan[] {
    const { algorithmType, solverType } = this.config;
    const levels = group.map((time) => this.#schedule.level(time));
    let last: StepFactors | undefined;
    return group.slice(0, -1).map((time, stage) => {
      // Between the stops of a third-order step the slope is always taken whole.
      const between = stage === 1 && group.length === 4;
      const type = between || solverType === "taylor" ? "heun" : "midpoint";
      const move = singlestepMove(algorithmType, type, levels[stage + 1], levels.slice(0, stage + 1).reverse());
      const factors = nextMove(move, last);
      last = move;
      return this.#step(time, factors, algorithmType);
    });
  }

  #step(time: number, factors: StepFactors, algorithm: DPMSolverAlgorithm): StepPlan {
    const level = this.#schedule.level(time);
    const { thresholding, dynamicThresholdingRatio: ratio } = this.config;
    const convert = algorithm === "dpmsolver++" ? this.#clean(level) : this.#noise(level);
    // The original bounds the clean sample only where the solver takes it.
    const clip = thresholding && algorithm === "dpmsolver++" && { kind: "dynamic" as const, ratio, max: UNLIMITED };
    return {
      timestep: this.#schedule.modelTime(time),
      inputScale: 1,
      convert,
      ...(clip && { clip }),
      ...factors,
      drawsNoise: false,
    };
  }

  /** What lies beside the noise: (x - sigma * noise) / alpha. */
  #clean(level: NoiseLevel): Mix {
    const { sample, output } = this.#noise(level);
    return { sample: (1 - level.sigma * sample) / level.alpha, output: -level.sigma * output / level.alpha };
  }

  #noise(level: NoiseLevel): Mix {
    switch (this.config.modelType) {
      case "noise":
        return noisePrediction("epsilon", level);
      case "x_start":
        return noisePrediction("sample", level);
      case "v":
        return noisePrediction("v_prediction", level);
      case "score":
        return { sample: 0, output: -level.sigma };
    }
  }

  addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array {
    return this.#schedule.addNoise(original, noise, timesteps);
  }
}
