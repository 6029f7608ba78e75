// The multistep DPM-Solver, PixArt's own scheduler. In: options, a number of steps. Out: timesteps, noise levels and the
// coefficients of every step.

import { UsageError } from "../errors.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import { type DPMSolverMultistepConfig, OWNER, readDPMSolverConfig } from "./dpm_solver_config.ts";
import { dpmSolverStep, type NoiseLevel } from "./dpm_solver_step.ts";
import { cumulativeAlphas, noiseToSignal, trainingBetas, zeroTerminalSnr } from "./noise_schedule.ts";
import { type Mix, mixNoise, type Scheduler, type StepPlan, type TimestepOptions } from "./scheduler.ts";
import { customStops, spacedStops } from "./solver_stops.ts";

export type { DPMSolverMultistepConfig } from "./dpm_solver_config.ts";

// With fewer steps than this the last ones are of lower order when `lowerOrderFinal` says so.
const FEW_STEPS = 15;

/**
 * The multistep DPM-Solver (arXiv 2206.00927 and 2211.01095): one model call a step, up to third order.
 *
 * @example
 * ```ts
 * import { DPMSolverMultistepScheduler } from "./src/schedulers/dpm_solver_multistep.ts";
 * const scheduler = new DPMSolverMultistepScheduler({ useKarrasSigmas: true });
 * scheduler.setTimesteps(20);
 * console.assert(scheduler.plan().length === 20);
 * ```
 */
export class DPMSolverMultistepScheduler implements Scheduler {
  readonly config: DPMSolverMultistepConfig;
  readonly unknownConfigKeys: readonly string[];
  readonly initNoiseSigma = 1;
  readonly #alphas: Float32Array;
  #timesteps: number[];
  #sigmas: number[];
  #ready = false;

  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<DPMSolverMultistepConfig> = {}) {
    const { config, unknownKeys } = readDPMSolverConfig(options);
    this.config = config;
    this.unknownConfigKeys = unknownKeys;
    const betas = trainingBetas(config);
    this.#alphas = cumulativeAlphas(config.rescaleBetasZeroSnr ? zeroTerminalSnr(betas) : betas);
    // Not quite 0, so that the first noise level is finite: the smallest number that float16 has.
    if (config.rescaleBetasZeroSnr) this.#alphas[this.#alphas.length - 1] = 2 ** -24;
    this.#timesteps = Array.from(this.#alphas.keys()).reverse();
    this.#sigmas = Array.from(noiseToSignal(this.#alphas)).reverse();
  }

  /**
   * Makes a scheduler from diffusers' JSON.
   * @param json The parsed content of `scheduler_config.json`.
   * @throws {ConfigError} When a value cannot be honoured.
   */
  static fromConfig(json: unknown): DPMSolverMultistepScheduler {
    return new DPMSolverMultistepScheduler(json as Partial<DPMSolverMultistepConfig>);
  }

  /**
   * Makes a scheduler from a checkpoint folder.
   * @param folder A path or a URL.
   * @param options `subfolder`: where in it `scheduler_config.json` lies.
   * @throws {ConfigError} When the file cannot be read or a value in it cannot be honoured.
   */
  static async fromPretrained(
    folder: string | URL,
    { subfolder = "" }: { subfolder?: string } = {},
  ): Promise<DPMSolverMultistepScheduler> {
    return DPMSolverMultistepScheduler.fromConfig(await readJson(joinPath(folder, subfolder, "scheduler_config.json")));
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  get sigmas(): readonly number[] {
    return this.#sigmas;
  }

  /**
   * Chooses the times and noise levels of a run.
   * @param numInferenceSteps The number of steps; not read when `options.timesteps` is given. "trailing" spacing turns a
   * few of them (61 is the first) into one step more, as it does in diffusers.
   * @param options `timesteps`, cut to whole numbers, or `mu`, which makes the flow shift exp(mu).
   * @throws {UsageError} When the config rules out what is asked for.
   */
  setTimesteps(numInferenceSteps: number, { timesteps, sigmas, mu }: TimestepOptions = {}): void {
    const { useDynamicShifting, flowShift, finalSigmasType } = this.config;
    if (sigmas) {
      refuse("take sigmas", "it takes its noise levels from its config or from timesteps", `${sigmas.length} sigmas`);
    }
    if (mu !== undefined && !useDynamicShifting) refuse("take mu", "useDynamicShifting must be true", "false");
    const shift = mu === undefined ? flowShift : Math.exp(mu);
    const stops = timesteps
      ? customStops(this.config, this.#alphas, timesteps)
      : spacedStops(this.config, this.#alphas, numInferenceSteps, shift);
    const levels = noiseToSignal(this.#alphas);
    this.#timesteps = stops.timesteps.map(Math.trunc);
    this.#sigmas = [...stops.sigmas, finalSigmasType === "zero" ? 0 : levels[0]].map(Math.fround);
    this.#ready = true;
  }

  plan(): StepPlan[] {
    if (!this.#ready) refuse("plan", "setTimesteps must come first", "it was not called");
    const { algorithmType, solverType, solverOrder, eulerAtFinal, lowerOrderFinal, finalSigmasType } = this.config;
    const count = this.#timesteps.length;
    const few = lowerOrderFinal && count < FEW_STEPS;
    const stops = this.#sigmas.map((sigma) => this.#noiseLevel(sigma));
    return this.#timesteps.map((timestep, index) => {
      const last = index === count - 1 && (eulerAtFinal || few || finalSigmasType === "zero");
      const limit = last ? 1 : few && index === count - 2 ? 2 : 3;
      const order = Math.min(solverOrder, index + 1, limit);
      const before = stops.slice(0, index + 1).reverse();
      const plan: StepPlan = {
        timestep,
        inputScale: 1,
        ...this.#conversion(stops[index], this.#sigmas[index]),
        ...dpmSolverStep(algorithmType, solverType, order, stops[index + 1], before),
        drawsNoise: algorithmType.startsWith("sde-"),
      };
      const { convert, restore = convert, sample, history, noise } = plan;
      const factors = [...Object.values(convert), ...Object.values(restore), sample, ...history, noise];
      if (!factors.every(Number.isFinite)) {
        refuse(
          `step from timestep ${timestep}`,
          "its noise levels must fall and lie where the method has a value",
          `sigma ${this.#sigmas[index]} to ${this.#sigmas[index + 1]}`,
        );
      }
      return plan;
    });
  }

  addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array {
    return mixNoise(
      original,
      noise,
      timesteps.map((timestep) => {
        // A timestep that is not of the run counts as its last one; of two equal ones the second is meant.
        const first = this.#timesteps.indexOf(timestep);
        const second = first < 0 ? -1 : this.#timesteps.indexOf(timestep, first + 1);
        const index = second >= 0 ? second : first >= 0 ? first : this.#timesteps.length - 1;
        const { alpha, sigma } = this.#noiseLevel(this.#sigmas[index]);
        return [alpha, sigma];
      }),
    );
  }

  #noiseLevel(sigma: number): NoiseLevel {
    if (this.config.useFlowSigmas) return { alpha: 1 - sigma, sigma };
    const alpha = 1 / Math.sqrt(sigma ** 2 + 1);
    return { alpha, sigma: sigma * alpha };
  }

  /** The plan's part that turns a model output into what the solver integrates: the clean sample or the noise. */
  #conversion({ alpha, sigma }: NoiseLevel, ratio: number): Pick<StepPlan, "convert" | "clip" | "restore"> {
    const { algorithmType, predictionType, thresholding, dynamicThresholdingRatio, sampleMaxValue: max } = this.config;
    const clean: Mix = {
      epsilon: { sample: 1 / alpha, output: -sigma / alpha },
      sample: { sample: 0, output: 1 },
      v_prediction: { sample: alpha, output: -sigma },
      flow_prediction: { sample: 1, output: -ratio },
    }[predictionType];
    const toNoise: Mix = { sample: 1 / sigma, output: -alpha / sigma };
    const ofNoise = !algorithmType.endsWith("++");
    if (!thresholding) {
      if (!ofNoise) return { convert: clean };
      return {
        convert: {
          epsilon: { sample: 0, output: 1 },
          sample: toNoise,
          v_prediction: { sample: sigma, output: alpha },
          flow_prediction: toNoise,
        }[predictionType],
      };
    }
    // The threshold is at least 1 and at most `max`: with a `max` of 1 no quantile has to be found.
    const clip: StepPlan["clip"] = max === 1
      ? { kind: "range", max }
      : { kind: "dynamic", ratio: dynamicThresholdingRatio, max };
    return ofNoise ? { convert: clean, clip, restore: toNoise } : { convert: clean, clip };
  }
}

function refuse(verb: string, rule: string, state: string): never {
  throw new UsageError(`Cannot ${verb} in ${OWNER} as ${rule}: ${state}`);
}
