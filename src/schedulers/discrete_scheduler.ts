// What schedulers share that step between training steps and mix sample and noise as training did: sqrt(alpha) * sample +
// sqrt(1 - alpha) * noise. In: a config. Out: stops at whole timesteps and their noise levels.

import { DiffusionScheduler } from "./diffusion_scheduler.ts";
import type { NoiseLevel } from "./dpm_solver_step.ts";
import { inferenceTimesteps } from "./inference_timesteps.ts";
import type { BetaOptions } from "./noise_schedule.ts";
import { mixNoise } from "./scheduler.ts";
import { roundHalfEven, type TimestepSpacing } from "./spacing.ts";

/** The options that a scheduler between training steps has. */
export interface DiscreteOptions extends BetaOptions {
  timestepSpacing: TimestepSpacing;
  stepsOffset: number;
}

/** The frame of a scheduler between training steps. */
export abstract class DiscreteScheduler<C extends DiscreteOptions> extends DiffusionScheduler<C> {
  /** Chooses `count` whole timesteps, the noisiest first. */
  protected spacedTimesteps(count: number): number[] {
    this.checkCount(count);
    const { timestepSpacing, numTrainTimesteps, stepsOffset } = this.config;
    return inferenceTimesteps(timestepSpacing, count, numTrainTimesteps, stepsOffset).map(roundHalfEven);
  }

  /** Takes the timesteps that the caller chose. */
  protected fallingTimesteps(timesteps: readonly number[]): number[] {
    const whole = timesteps.map(Math.trunc);
    const falls = whole.every((timestep, index) => index === 0 || timestep < whole[index - 1]);
    if (whole.length === 0 || !falls || !(whole[whole.length - 1] >= 0)) {
      this.refuse("take timesteps", "they must be at least 0 and fall, one at least", `[${timesteps.join(", ")}]`);
    }
    return whole;
  }

  /** Sets the stops of the run. */
  protected setTimestepStops(timesteps: readonly number[]): void {
    this.setStops(
      timesteps,
      timesteps.map((timestep) => {
        const { alpha, sigma } = this.level(timestep);
        return sigma / alpha;
      }),
    );
  }

  /** The cumulative alpha of a training step; -1, which trailing spacing gives at times, is the last one as in NumPy. */
  protected alphaAt(timestep: number): number {
    const alpha = this.alphas.at(timestep);
    if (alpha === undefined) {
      const rule = `they must be below ${this.alphas.length}, the number of training steps`;
      this.refuse("set timesteps", rule, String(timestep));
    }
    return alpha;
  }

  /** The noise level of a training step. */
  protected level(timestep: number): NoiseLevel {
    const alpha = this.alphaAt(timestep);
    return { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha) };
  }

  addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array {
    return mixNoise(
      original,
      noise,
      timesteps.map((timestep) => {
        const { alpha, sigma } = this.level(timestep);
        return [alpha, sigma];
      }),
    );
  }
}
