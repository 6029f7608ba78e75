// What schedulers share that add noise to an unscaled sample: sample + sigma * noise (Karras et al., arXiv 2206.00364). In:
// a config. Out: noise levels that may lie between training steps, and the derivative of the sample by the noise level.

import { DiffusionScheduler } from "./diffusion_scheduler.ts";
import { inferenceTimesteps } from "./inference_timesteps.ts";
import { type BetaOptions, noiseToSignal } from "./noise_schedule.ts";
import { cleanPrediction, clipOf, type ClipOptions, type PredictionType } from "./prediction.ts";
import { type Mix, mixNoise, type StepPlan } from "./scheduler.ts";
import type { Stops } from "./solver_stops.ts";
import { interpolate, roundHalfEven, sigmaSpread, timestepOf, type TimestepSpacing } from "./spacing.ts";

/** The options that a scheduler of unscaled samples has. */
export interface SigmaOptions extends BetaOptions, ClipOptions {
  timestepSpacing: TimestepSpacing;
  stepsOffset: number;
  predictionType: PredictionType;
  useKarrasSigmas?: boolean;
  useExponentialSigmas?: boolean;
  useBetaSigmas?: boolean;
  sigmaMin?: number | null;
  sigmaMax?: number | null;
}

/** The frame of a scheduler of unscaled samples. */
export abstract class SigmaScheduler<C extends SigmaOptions> extends DiffusionScheduler<C> {
  override get initNoiseSigma(): number {
    const highest = this.sigmas.reduce((most, sigma) => Math.max(most, sigma));
    return this.config.timestepSpacing === "leading" ? Math.fround(Math.sqrt(highest ** 2 + 1)) : highest;
  }

  /** The noise levels of training by their logarithms. */
  protected get logSigmas(): Float32Array {
    return noiseToSignal(this.alphas).map(Math.log);
  }

  /** The times of `count` steps by the config's spacing. */
  protected spacedTimesteps(count: number): number[] {
    this.checkCount(count);
    const { timestepSpacing, numTrainTimesteps, stepsOffset } = this.config;
    return inferenceTimesteps(timestepSpacing, count, numTrainTimesteps, stepsOffset).map(Math.fround);
  }

  /** The times that the caller chose. */
  protected chosenTimesteps(timesteps: readonly number[]): number[] {
    if (sigmaSpread(this.config)) {
      this.refuse("take timesteps", "the config must leave the noise levels free", "it chooses them");
    }
    if (timesteps.length === 0 || !timesteps.every(Number.isFinite)) {
      this.refuse("take timesteps", "they must be finite numbers, one at least", `[${timesteps.join(", ")}]`);
    }
    return timesteps.map(Math.fround);
  }

  /**
   * The noise levels at these times, or `count` others between the first and the last of them where the config says so.
   * @param roundsKarras Whether the times of Karras' levels are whole.
   */
  protected stopsAt(timesteps: number[], count: number, roundsKarras = false): Stops {
    const levels = noiseToSignal(this.alphas);
    const sigmas = timesteps.map((timestep) => interpolate(timestep, levels));
    return this.respaced({ timesteps, sigmas }, count, roundsKarras);
  }

  /** `count` stops spread between the first and the last noise level, where the config says so. */
  protected respaced(stops: Stops, count: number, roundsKarras: boolean): Stops {
    const { useKarrasSigmas, sigmaMin, sigmaMax } = this.config;
    const spread = sigmaSpread(this.config);
    if (!spread) return stops;
    const { sigmas } = stops;
    const others = spread(sigmaMax ?? sigmas[0], sigmaMin ?? sigmas[sigmas.length - 1], count);
    const logs = this.logSigmas;
    const times = others.map((sigma) => timestepOf(sigma, logs));
    return { sigmas: others, timesteps: roundsKarras && useKarrasSigmas ? times.map(roundHalfEven) : times };
  }

  /** What the model's input is to the sample. */
  protected inputScale(sigma: number): number {
    return 1 / Math.sqrt(sigma ** 2 + 1);
  }

  /** The plan's part that turns a model output into the derivative of the sample by the noise level. */
  protected derivative(sigma: number): Pick<StepPlan, "convert" | "clip" | "restore"> {
    const { predictionType } = this.config;
    const clip = clipOf(this.config);
    const beside: Mix = { sample: 1 / sigma, output: -1 / sigma };
    if (clip) return { convert: this.#clean(sigma), clip, restore: beside };
    switch (predictionType) {
      case "v_prediction":
        return { convert: { sample: sigma / (sigma ** 2 + 1), output: this.inputScale(sigma) } };
      case "sample":
        return { convert: beside };
      default:
        return { convert: { sample: 0, output: 1 } };
    }
  }

  #clean(sigma: number): Mix {
    // The scaled sample has the noise level that the model knows.
    const scale = this.inputScale(sigma);
    const { sample, output } = cleanPrediction(this.config.predictionType, { alpha: scale, sigma: sigma * scale });
    return { sample: sample * scale, output };
  }

  addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array {
    return mixNoise(
      original,
      noise,
      timesteps.map((timestep) => {
        // A time between training steps has other last digits elsewhere.
        const distances = this.timesteps.map((time) => Math.abs(time - timestep));
        const nearest = distances.reduce((least, distance) => Math.min(least, distance));
        if (!(nearest < 1e-3)) this.refuse("add noise", "the timestep must be one of the run", String(timestep));
        // Of two equal ones the second is meant.
        const first = distances.indexOf(nearest);
        const second = distances.indexOf(nearest, first + 1);
        return [1, this.sigmas[second >= 0 ? second : first]];
      }),
    );
  }
}
