// What the exponential integrators share (DPM-Solver, DEIS, UniPC, SA-Solver): they step in lambda = log(alpha / sigma) through
// alpha * sample + sigma * noise. In: a config. Out: stops as diffusers chooses them, and the conversion of the model's output.

import { DiffusionScheduler } from "./diffusion_scheduler.ts";
import type { NoiseLevel } from "./dpm_solver_step.ts";
import { type BetaOptions, noiseToSignal } from "./noise_schedule.ts";
import { clipOf, type ClipOptions, conversion, type PredictionType } from "./prediction.ts";
import { mixNoise, type StepPlan } from "./scheduler.ts";
import { spacedStops, type Stops } from "./solver_stops.ts";
import { sigmaSpread, type TimestepSpacing } from "./spacing.ts";

/** The options that an exponential integrator has. */
export interface ExponentialOptions extends BetaOptions, ClipOptions {
  predictionType: PredictionType;
  useKarrasSigmas: boolean;
  useExponentialSigmas: boolean;
  useBetaSigmas: boolean;
  useFlowSigmas: boolean;
  flowShift: number;
  timestepSpacing?: TimestepSpacing;
  stepsOffset?: number;
  lambdaMinClipped?: number;
  useDynamicShifting?: boolean;
}

/** The frame of an exponential integrator. */
export abstract class ExponentialScheduler<C extends ExponentialOptions> extends DiffusionScheduler<C> {
  /** The stops of `count` steps, times not yet whole, without the final noise level. */
  protected spaced(count: number, mu?: number): Stops {
    if (mu !== undefined && !this.config.useDynamicShifting) {
      this.refuse("take mu", "useDynamicShifting must be true", "false");
    }
    return spacedStops(
      this.spacingOptions,
      this.alphas,
      count,
      mu === undefined ? this.config.flowShift : Math.exp(mu),
    );
  }

  /** The options of `spacedStops`, which has those of the multistep DPM-Solver. */
  protected get spacingOptions() {
    const { timestepSpacing = "linspace", stepsOffset = 0, lambdaMinClipped = -Infinity } = this.config;
    // Only the multistep DPM-Solver leaves Karras' times of a cosine schedule fractional.
    return {
      ...this.config,
      timestepSpacing,
      stepsOffset,
      lambdaMinClipped,
      useLuLambdas: false,
      betaSchedule: "linear",
    };
  }

  /** Whether the config chooses other noise levels than those of whole timesteps. */
  protected get respaced(): boolean {
    return sigmaSpread(this.config) !== undefined || this.config.useFlowSigmas;
  }

  /** The noise level of the first training step. */
  protected get lowestSigma(): number {
    return noiseToSignal(this.alphas.subarray(0, 1))[0];
  }

  /** Sets the stops of the run: times cut to whole numbers, levels to float32. */
  protected setRun({ timesteps, sigmas }: Stops, last: number): void {
    this.setStops(timesteps.map(Math.trunc), [...sigmas, last].map(Math.fround));
  }

  /** Alpha and sigma at the noise level of a stop. */
  protected level(sigma: number): NoiseLevel {
    if (this.config.useFlowSigmas) return { alpha: 1 - sigma, sigma };
    const alpha = 1 / Math.sqrt(sigma ** 2 + 1);
    return { alpha, sigma: sigma * alpha };
  }

  /** The noise levels of all stops. */
  protected get levels(): NoiseLevel[] {
    return this.sigmas.map((sigma) => this.level(sigma));
  }

  /** The plan's part that turns a model output into what the method integrates. */
  protected conversion(target: "clean" | "noise", level: NoiseLevel): Pick<StepPlan, "convert" | "clip" | "restore"> {
    return conversion(target, this.config.predictionType, level, clipOf(this.config));
  }

  addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array {
    return mixNoise(
      original,
      noise,
      timesteps.map((timestep) => {
        // A timestep that is not of the run counts as its last one; of two equal ones the second is meant.
        const first = this.timesteps.indexOf(timestep);
        const second = first < 0 ? -1 : this.timesteps.indexOf(timestep, first + 1);
        const index = second >= 0 ? second : first >= 0 ? first : this.timesteps.length - 1;
        const { alpha, sigma } = this.level(this.sigmas[index]);
        return [alpha, sigma];
      }),
    );
  }
}
