// SA-Solver (arXiv 2309.05019) as diffusers has it: a stochastic multistep predictor and corrector. In: options, a number of
// steps. Out: the coefficients of every step.

import { flowPrediction, flowSpacing, sigmaSpacings, spacing, thresholding, training } from "./common_options.ts";
import { choice, flag, lowerBound, nullable, number, type Option, type OptionValues, readOptions } from "./config.ts";
import { ExponentialScheduler } from "./exponential_scheduler.ts";
import { distinctLength } from "./lagrange_integrals.ts";
import { correctAndPredict } from "./predictor_corrector.ts";
import { saCorrection, type SAMove, saPrediction } from "./sa_solver_step.ts";
import { mixNoise, type StepPlan, type TimestepOptions } from "./scheduler.ts";

/** How stochastic a step is that starts at a time: 0 for the ODE, 1 for the SDE of DDPM. */
export type TauFunction = (timestep: number) => number;

const tauFunction: Option<TauFunction> = {
  fallback: (timestep) => timestep >= 200 && timestep <= 800 ? 1 : 0,
  rule: "a function of the timestep",
  read(value) {
    if (typeof value === "function") return value as TauFunction;
    return value === null ? tauFunction.fallback : undefined;
  },
};

const OPTIONS = {
  ...training(),
  // With a predictor of order 4 a step would read five outputs.
  predictorOrder: number(2, "1, 2 or 3", (value) => [1, 2, 3].includes(value)),
  correctorOrder: number(2, "1, 2, 3 or 4", (value) => [1, 2, 3, 4].includes(value)),
  ...flowPrediction,
  tauFunc: tauFunction,
  ...thresholding,
  // So that the config of a DPM-Solver, which is what PixArt's checkpoints hold, can be taken as it is.
  algorithmType: choice(["data_prediction", "noise_prediction"], "data_prediction", {
    "dpmsolver++": "data_prediction",
    "sde-dpmsolver++": "data_prediction",
    dpmsolver: "noise_prediction",
    "sde-dpmsolver": "noise_prediction",
    deis: "data_prediction",
  }),
  lowerOrderFinal: flag(true),
  ...sigmaSpacings,
  ...flowSpacing,
  lambdaMinClipped: lowerBound(-Infinity),
  // A learned variance is dropped by whoever runs the plan.
  varianceType: nullable(choice(["learned", "learned_range"], "learned")),
  ...spacing("linspace"),
};

/** The options of {@linkcode SASolverScheduler}; names and meanings are those of diffusers. */
export type SASolverConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * SA-Solver: one model call and one draw of noise a step.
 *
 * @example
 * ```ts
 * import { SASolverScheduler } from "./sa_solver.ts";
 * const scheduler = new SASolverScheduler({ tauFunc: () => 0 });
 * scheduler.setTimesteps(25);
 * console.assert(scheduler.plan().every((step) => step.noise === 0));
 * ```
 */
export class SASolverScheduler extends ExponentialScheduler<SASolverConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<SASolverConfig> = {}) {
    super("SASolverScheduler", readOptions("SASolverScheduler", OPTIONS, options));
    this.checkSpacings(this.config);
    if (this.config.algorithmType === "noise_prediction" && this.config.predictionType === "flow_prediction") {
      this.refuseConfig('"flow_prediction" needs algorithmType "data_prediction"', '"noise_prediction"');
    }
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "timesteps", "sigmas", "mu", "originalInferenceSteps", "strength");
    const stops = this.spaced(numInferenceSteps);
    this.setRun(stops, this.respaced ? stops.sigmas[stops.sigmas.length - 1] : this.lowestSigma);
  }

  protected steps(begin: number): StepPlan[] {
    const { predictorOrder, correctorOrder, algorithmType, lowerOrderFinal, tauFunc } = this.config;
    const clean = algorithmType === "data_prediction";
    const levels = this.levels;
    const left = (place: number) => lowerOrderFinal ? this.timesteps.length - place : Infinity;
    let last: { move: SAMove; history: number[] } | undefined;
    return this.timesteps.slice(begin).map((timestep, index) => {
      const place = begin + index;
      const reached = levels.slice(begin, place + 1).reverse();
      const known = distinctLength(this.sigmas.slice(begin, place + 1).reverse());
      const correction = last && this.sigmas[place] !== this.sigmas[place - 1]
        ? saCorrection(last.move, reached.slice(0, Math.min(correctorOrder, left(place) + 2, known)))
        : undefined;
      const move: SAMove = { clean, tau: tauFunc(timestep), target: levels[place + 1], from: levels[place] };
      const prediction = this.sigmas[place + 1] === this.sigmas[place]
        ? { sample: 1, history: [0], noise: 0 }
        : saPrediction(move, reached.slice(0, Math.min(predictorOrder, left(place), known)));
      const step = correctAndPredict(prediction, correction, last?.history ?? []);
      last = { move, history: prediction.history };
      return {
        timestep,
        inputScale: 1,
        ...this.conversion(clean ? "clean" : "noise", levels[place]),
        ...step,
        drawsNoise: true,
      };
    });
  }

  override addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array {
    return mixNoise(
      original,
      noise,
      timesteps.map((timestep) => {
        const alpha = this.alphas.at(timestep);
        if (alpha === undefined) {
          this.refuse("add noise", `the timestep must be below ${this.alphas.length}`, String(timestep));
        }
        return [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
      }),
    );
  }
}
