// The single-step DPM-Solver: groups of one, two and three stops, each group a step of as high an order. In: options, a number
// of steps. Out: the coefficients of every model call.

import {
  dynamicShifting,
  flowPrediction,
  flowSpacing,
  sigmaSpacings,
  thresholding,
  training,
} from "./common_options.ts";
import { choice, flag, lowerBound, nullable, number, type OptionValues, readOptions } from "./config.ts";
import type { StepFactors } from "./dpm_solver_step.ts";
import { ExponentialScheduler } from "./exponential_scheduler.ts";
import type { StepPlan, TimestepOptions } from "./scheduler.ts";
import { nextMove, singlestepMove } from "./singlestep_group.ts";
import { customStops } from "./solver_stops.ts";

const OPTIONS = {
  ...training(),
  solverOrder: number(2, "1, 2 or 3", (value) => [1, 2, 3].includes(value)),
  ...flowPrediction,
  ...thresholding,
  // Configs of the related DEIS and UniPC schedulers hold the other words, and diffusers reads them so.
  algorithmType: choice(["dpmsolver", "dpmsolver++", "sde-dpmsolver++"], "dpmsolver++", { deis: "dpmsolver++" }),
  solverType: choice(["midpoint", "heun"], "midpoint", { logrho: "midpoint", bh1: "midpoint", bh2: "midpoint" }),
  lowerOrderFinal: flag(false),
  ...sigmaSpacings,
  ...flowSpacing,
  finalSigmasType: choice(["zero", "sigma_min"], "zero"),
  lambdaMinClipped: lowerBound(-Infinity),
  // A learned variance is dropped by whoever runs the plan.
  varianceType: nullable(choice(["learned", "learned_range"], "learned")),
  ...dynamicShifting,
};

/** The options of {@linkcode DPMSolverSinglestepScheduler}; names and meanings are those of diffusers. */
export type DPMSolverSinglestepConfig = Readonly<OptionValues<typeof OPTIONS>>;

/**
 * The single-step DPM-Solver (arXiv 2206.00927 and 2211.01095): one model call a stop, up to third order. It remembers no
 * step before the present one.
 *
 * @example
 * ```ts
 * import { DPMSolverSinglestepScheduler } from "./dpm_solver_singlestep.ts";
 * const scheduler = new DPMSolverSinglestepScheduler({ solverOrder: 3 });
 * scheduler.setTimesteps(7);
 * console.assert(scheduler.plan().map((step) => step.history.length).join("") === "1231231");
 * ```
 */
export class DPMSolverSinglestepScheduler extends ExponentialScheduler<DPMSolverSinglestepConfig> {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<DPMSolverSinglestepConfig> = {}) {
    super("DPMSolverSinglestepScheduler", readOptions("DPMSolverSinglestepScheduler", OPTIONS, options));
    this.checkSpacings(this.config);
    const { algorithmType, finalSigmasType, predictionType } = this.config;
    if (algorithmType !== "dpmsolver") return;
    if (finalSigmasType === "zero") {
      this.refuseConfig('algorithmType "dpmsolver" needs finalSigmasType "sigma_min"', '"zero"');
    }
    if (predictionType === "flow_prediction") {
      this.refuseConfig('predictionType "flow_prediction" needs an algorithmType with ++', '"dpmsolver"');
    }
  }

  setTimesteps(numInferenceSteps: number, options: TimestepOptions = {}): void {
    this.refuseOptions(options, "sigmas", "originalInferenceSteps", "strength");
    const { timesteps, mu } = options;
    const stops = timesteps
      ? customStops(this.spacingOptions, this.alphas, timesteps)
      : this.spaced(numInferenceSteps, mu);
    this.setRun(stops, this.config.finalSigmasType === "zero" ? 0 : this.lowestSigma);
  }

  /** The order at each stop: 1 where a step begins, 2 and 3 where it goes on. */
  #orders(): number[] {
    const { solverOrder, finalSigmasType, lowerOrderFinal } = this.config;
    const count = this.timesteps.length;
    const orders = Array.from({ length: count }, (_, place) => place % solverOrder + 1);
    if (finalSigmasType === "zero" || lowerOrderFinal && count % solverOrder === 0) orders[count - 1] = 1;
    return orders;
  }

  protected steps(begin: number): StepPlan[] {
    const { algorithmType, solverType } = this.config;
    const levels = this.levels;
    const orders = this.#orders();
    const moves: StepFactors[] = [];
    return this.timesteps.slice(begin).map((timestep, index) => {
      const place = begin + index;
      const order = Math.min(orders[place], index + 1);
      const stops = levels.slice(place - order + 1, place + 1).reverse();
      const move = singlestepMove(algorithmType, solverType, levels[place + 1], stops);
      moves.push(move);
      return {
        timestep,
        inputScale: 1,
        ...this.conversion(algorithmType === "dpmsolver" ? "noise" : "clean", levels[place]),
        ...nextMove(move, order === 1 ? undefined : moves[index - 1]),
        drawsNoise: algorithmType === "sde-dpmsolver++",
      };
    });
  }
}
