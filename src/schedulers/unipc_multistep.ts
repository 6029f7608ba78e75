// UniPC (arXiv 2302.04867): a multistep predictor and a corrector that costs no model call. In: options, a number of steps.
// Out: the coefficients of every step.

import {
  dynamicShifting,
  flowPrediction,
  flowSpacing,
  sigmaSpacings,
  spacing,
  thresholding,
  training,
} from "./common_options.ts";
import { choice, flag, nullable, number, type Option, type OptionValues, readOptions } from "./config.ts";
import { ExponentialScheduler } from "./exponential_scheduler.ts";
import { distinctLength } from "./lagrange_integrals.ts";
import { noiseToSignal } from "./noise_schedule.ts";
import { noisePrediction } from "./prediction.ts";
import { correctAndPredict } from "./predictor_corrector.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";
import type { Stops } from "./solver_stops.ts";
import { evenly, roundHalfEven, type SigmaSpread, sigmaSpread, timestepOf } from "./spacing.ts";
import { unipcCorrection, unipcPrediction } from "./unipc_step.ts";

const places: Option<readonly number[]> = {
  fallback: [],
  rule: "a list of whole numbers",
  read: (value) => Array.isArray(value) && value.every(Number.isInteger) ? [...value] : undefined,
};
const nothing: Option<null> = {
  fallback: null,
  rule: "null, as another scheduler cannot take the predictor's place",
  read: (value) => value === null ? null : undefined,
};
const positive = nullable(number(0, "a number above 0", (value) => value > 0));

const OPTIONS = {
  ...training(),
  // A run of order 4 would read five outputs.
  solverOrder: number(2, "1, 2 or 3", (value) => [1, 2, 3].includes(value)),
  ...flowPrediction,
  ...thresholding,
  predictX0: flag(true),
  // Configs of the related DPM-Solver and DEIS schedulers hold the other words, and diffusers reads them so.
  solverType: choice(["bh1", "bh2"], "bh2", { midpoint: "bh2", heun: "bh2", logrho: "bh2" }),
  lowerOrderFinal: flag(true),
  disableCorrector: places,
  solverP: nothing,
  ...sigmaSpacings,
  ...flowSpacing,
  ...spacing("linspace"),
  finalSigmasType: choice(["zero", "sigma_min"], "zero"),
  rescaleBetasZeroSnr: flag(false),
  ...dynamicShifting,
  timeShiftType: choice(["exponential", "linear"], "exponential"),
  sigmaMin: positive,
  sigmaMax: positive,
  shiftTerminal: nullable(number(0, "in [0, 1)", (value) => value >= 0 && value < 1)),
};

/** The options of {@linkcode UniPCMultistepScheduler}; names and meanings are those of diffusers. */
export type UniPCMultistepConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * UniPC: one model call a step, of order `solverOrder` + 1.
 *
 * @example
 * ```ts
 * import { UniPCMultistepScheduler } from "./unipc_multistep.ts";
 * const scheduler = new UniPCMultistepScheduler({ solverOrder: 3 });
 * scheduler.setTimesteps(10);
 * console.assert(scheduler.plan().length === 10);
 * ```
 */
export class UniPCMultistepScheduler extends ExponentialScheduler<UniPCMultistepConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<UniPCMultistepConfig> = {}) {
    super("UniPCMultistepScheduler", readOptions("UniPCMultistepScheduler", OPTIONS, options), 2 ** -24);
    this.checkSpacings(this.config);
    const { predictX0, predictionType, finalSigmasType, shiftTerminal, useFlowSigmas } = this.config;
    if (shiftTerminal !== null && !useFlowSigmas) {
      this.refuseConfig("shiftTerminal needs useFlowSigmas", String(shiftTerminal));
    }
    if (predictX0) return;
    if (predictionType === "flow_prediction") this.refuseConfig('"flow_prediction" needs predictX0', "false");
    if (finalSigmasType === "zero") this.refuseConfig('finalSigmasType "zero" needs predictX0', "false");
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "originalInferenceSteps", "strength");
    const { useFlowSigmas, useDynamicShifting, finalSigmasType } = this.config;
    const { sigmas, mu } = options;
    if (useDynamicShifting && mu === undefined) this.refuse("set timesteps", "useDynamicShifting needs mu", "none");
    const spread = sigmaSpread(this.config);
    if (sigmas && (!useFlowSigmas || spread)) {
      this.refuse("take sigmas", "the config must have useFlowSigmas and no other spacing", "it has not");
    }
    const stops = spread
      ? this.#spreadStops(spread, numInferenceSteps)
      : useFlowSigmas
      ? this.#flowStops(sigmas ?? this.#evenSigmas(numInferenceSteps), mu)
      : this.spaced(numInferenceSteps);
    const own = spread || useFlowSigmas ? stops.sigmas[stops.sigmas.length - 1] : this.lowestSigma;
    this.setRun(stops, finalSigmasType === "zero" ? 0 : own);
  }

  #spreadStops(spread: SigmaSpread, count: number): Stops {
    this.checkCount(count);
    const { sigmaMin, sigmaMax, useKarrasSigmas, useFlowSigmas, numTrainTimesteps } = this.config;
    const levels = noiseToSignal(this.alphas);
    const logs = levels.map(Math.log);
    const sigmas = spread(sigmaMax ?? levels[levels.length - 1], sigmaMin ?? levels[0], count);
    if (useKarrasSigmas && useFlowSigmas) {
      const times = sigmas.map((sigma) => sigma / (sigma + 1));
      return { sigmas: times, timesteps: times.map((time) => time * numTrainTimesteps) };
    }
    const times = sigmas.map((sigma) => timestepOf(sigma, logs));
    return { sigmas, timesteps: useKarrasSigmas ? times.map(roundHalfEven) : times };
  }

  #evenSigmas(count: number): number[] {
    this.checkCount(count);
    return evenly(1, 1 / this.config.numTrainTimesteps, count + 1).slice(0, count);
  }

  #flowStops(given: readonly number[], mu: number | undefined): Stops {
    const { useDynamicShifting, timeShiftType, flowShift, shiftTerminal, numTrainTimesteps } = this.config;
    if (given.length === 0 || !given.every((sigma) => sigma > 0 && sigma <= 1)) {
      this.refuse("take sigmas", "they must be above 0 and at most 1, one at least", `[${given.join(", ")}]`);
    }
    const shift = !useDynamicShifting ? flowShift : timeShiftType === "linear" ? mu! : Math.exp(mu!);
    let sigmas = given.map((sigma) => shift * sigma / (1 + (shift - 1) * sigma));
    if (shiftTerminal) {
      const stretch = (1 - sigmas[sigmas.length - 1]) / (1 - shiftTerminal);
      sigmas = sigmas.map((sigma) => 1 - (1 - sigma) / stretch);
    }
    // Pure noise has no finite lambda.
    if (Math.abs(sigmas[0] - 1) < 1e-6) sigmas[0] -= 1e-6;
    return { sigmas, timesteps: sigmas.map((sigma) => sigma * numTrainTimesteps) };
  }

  protected steps(begin: number): StepPlan[] {
    const { solverOrder, solverType, predictX0, predictionType, lowerOrderFinal, disableCorrector } = this.config;
    const levels = this.levels;
    const count = this.timesteps.length;
    let last: { known: number; history: number[] } | undefined;
    return this.timesteps.slice(begin).map((timestep, index) => {
      const place = begin + index;
      const corrects = last && !disableCorrector.includes(place - 1) && this.sigmas[place] !== this.sigmas[place - 1];
      const before = levels.slice(0, place).reverse();
      const correction = last && corrects
        ? unipcCorrection(predictX0, solverType, levels[place], before.slice(0, last.known))
        : undefined;
      const stays = this.sigmas[place + 1] === this.sigmas[place];
      const reached = this.sigmas.slice(begin, place + 1).reverse();
      const limit = lowerOrderFinal ? count - place : solverOrder;
      const known = Math.min(solverOrder, limit, distinctLength(reached));
      const move = stays
        ? { sample: 1, history: [0], noise: 0 }
        : unipcPrediction(predictX0, solverType, levels[place + 1], [levels[place], ...before].slice(0, known));
      const step = correctAndPredict(move, correction, last?.history ?? []);
      last = { known, history: move.history };
      return {
        timestep,
        inputScale: 1,
        // Thresholding is for predictions of the clean sample alone.
        ...(predictX0
          ? this.conversion("clean", levels[place])
          : { convert: noisePrediction(predictionType, levels[place]) }),
        ...step,
        drawsNoise: false,
      };
    });
  }
}
