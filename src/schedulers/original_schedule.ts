// The noise schedule of the original PixArt repository, in double precision, and its reading in continuous time. In: a name
// and a number of training steps. Out: noise levels.

import type { NoiseLevel } from "./dpm_solver_step.ts";
import { mixNoise } from "./scheduler.ts";

/** The schedules that the original's configs name. */
export type OriginalNoiseSchedule = "linear" | "squaredcos_cap_v2";

const round = Math.fround;

/**
 * The share of the clean sample's variance that is left after each training step.
 * @param schedule The name of the schedule.
 * @param steps The number of training steps, T; the linear betas are stretched to it.
 * @returns [T] in double precision.
 */
export function originalAlphas(schedule: OriginalNoiseSchedule, steps: number): number[] {
  const kept = (time: number) => Math.cos(((time + 0.008) / 1.008) * Math.PI / 2) ** 2;
  const [first, last] = [0.1 / steps, 20 / steps];
  let product = 1;
  return Array.from({ length: steps }, (_, step) => {
    const beta = schedule === "linear"
      ? first + (last - first) * step / Math.max(steps - 1, 1)
      : Math.min(1 - kept((step + 1) / steps) / kept(step / steps), 0.999);
    return product *= 1 - beta;
  });
}

// The cosine schedule's last steps hold less signal than the solvers can count with.
const LOWEST_LAMBDA = -5.1;

/** A discrete schedule between its training steps: step n of N is at time (n + 1) / N, and log alpha is linear in between. */
export class ContinuousSchedule {
  readonly #times: Float32Array;
  readonly #logAlphas: Float32Array;
  /** Both from the noisiest step on, by rising log alpha. */
  readonly #timesBack: Float32Array;
  readonly #logAlphasBack: Float32Array;

  /** @param alphas [T] the cumulative alphas. */
  constructor(alphas: readonly number[]) {
    const logs = alphas.map((alpha) => 0.5 * Math.log(alpha));
    const usable = logs.findLastIndex((log) => log - 0.5 * Math.log(-Math.expm1(2 * log)) >= LOWEST_LAMBDA) + 1;
    this.#logAlphas = Float32Array.from(logs.slice(0, usable));
    this.#times = Float32Array.from({ length: usable }, (_, step) => (step + 1) / usable);
    this.#timesBack = this.#times.slice().reverse();
    this.#logAlphasBack = this.#logAlphas.slice().reverse();
  }

  /** The number of training steps that can be used. */
  get steps(): number {
    return this.#times.length;
  }

  /** The time that the model is given, from 0 to 1000, at a time from 0 to 1. */
  modelTime(time: number): number {
    return round(round(time - round(1 / this.steps)) * 1000);
  }

  /** The time from 0 to 1 at which the model is given this one. */
  timeOf(modelTime: number): number {
    return modelTime / 1000 + 1 / this.steps;
  }

  /** The noise level at a time from 0 to 1, float32 as in the original: near 0 its sigma has three digits. */
  level(time: number): NoiseLevel {
    const log = round(between(time, this.#times, this.#logAlphas));
    return { alpha: Math.exp(log), sigma: Math.sqrt(round(1 - round(Math.exp(2 * log)))) };
  }

  /** The noise on an unscaled sample at a time from 0 to 1. */
  ratio(time: number): number {
    const { alpha, sigma } = this.level(time);
    return sigma / alpha;
  }

  /** Adds noise to clean samples for the times that the model is given, one a sample. */
  addNoise(original: Float32Array, noise: Float32Array, modelTimes: readonly number[]): Float32Array {
    const levels = modelTimes.map((time) => this.level(this.timeOf(time)));
    return mixNoise(original, noise, levels.map(({ alpha, sigma }) => [alpha, sigma]));
  }

  /** The time at which lambda = log(alpha / sigma) has this value. */
  timeAt(lambda: number): number {
    const log = -0.5 * Math.log1p(Math.exp(-2 * lambda));
    return between(log, this.#logAlphasBack, this.#timesBack);
  }
}

/** The value at `place` of the straight line through the two neighbours of it in `places`, or the two at the end. */
function between(place: number, places: Float32Array, values: Float32Array): number {
  let [below, above] = [0, places.length - 1];
  while (above - below > 1) {
    const middle = (below + above) >> 1;
    if (places[middle] <= place) below = middle;
    else above = middle;
  }
  const share = (place - places[below]) / (places[above] - places[below]);
  return values[below] + share * (values[above] - values[below]);
}
