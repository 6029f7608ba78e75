// What the methods of second order share, which ask the model twice a step but for the last. In: what a method makes of each call.
// Out: the coefficients of every call.

import type { StepPlan } from "./scheduler.ts";
import { type SigmaOptions, SigmaScheduler } from "./sigma_scheduler.ts";

/** One of the two calls of a step: where it asks the model, and what it makes of the answers of its step, its own first. */
export interface StageCall extends Pick<StepPlan, "history">, Partial<Pick<StepPlan, "noise" | "drawsNoise">> {
  /** The noise level of the sample that the model is shown. */
  sigma: number;
}

/** Each number twice but for the first. */
export function twiceButFirst(values: readonly number[]): number[] {
  return values.flatMap((value, index) => index === 0 ? [value] : [value, value]);
}

/** The frame of a scheduler with two calls a step; a method lists the stops of each call. */
export abstract class TwoCallScheduler<C extends SigmaOptions> extends SigmaScheduler<C> {
  override get callsPerStep(): number {
    return 2;
  }

  /**
   * One call of a step.
   * @param from The noise level where the step starts.
   * @param to The noise level where it ends.
   * @param isSecond Whether it is the second call of the step.
   */
  protected abstract call(from: number, to: number, isSecond: boolean): StageCall;

  protected steps(begin: number): StepPlan[] {
    return this.timesteps.slice(begin).map((timestep, index) => {
      // A run begins with a first call wherever it begins.
      const isSecond = index % 2 === 1;
      const [from, to] = this.sigmas.slice(begin + index - (isSecond ? 1 : 0));
      const { sigma, ...rest } = this.call(from, to, isSecond);
      const derivative = { inputScale: this.inputScale(sigma), ...this.derivative(sigma) };
      return { timestep, ...derivative, sample: 1, noise: 0, drawsNoise: false, ...rest };
    });
  }
}
