// The stops of the midpoint methods, which ask the model in the middle of each step too. In: the stops of the steps. Out: the
// stops of the model calls.

import { timestepOf } from "./spacing.ts";

const round = Math.fround;

/** One model call of a midpoint method. */
export interface MidpointCall {
  timestep: number;
  /** The noise level where the step starts. */
  from: number;
  /** The noise level where the step ends. */
  to: number;
  /** Whether it is the call in the middle. */
  second: boolean;
}

/** The noise level in the middle of two by their logarithms, rounded as PyTorch's lerp and exp are. */
export function middleSigma(from: number, to: number): number {
  if (to === 0) return 0;
  const [first, last] = [round(Math.log(from)), round(Math.log(to))];
  return round(Math.exp(round(last - round(round(last - first) * 0.5))));
}

/**
 * The times of the model calls.
 * @param timesteps [n] the times of the steps.
 * @param middles [n - 1] the noise levels in the middle of all steps but the last, which needs no second call.
 * @param logSigmas [T] the logarithms of the noise levels of training.
 * @returns [2 n - 1] the times.
 */
export function midpointTimesteps(
  timesteps: readonly number[],
  middles: readonly number[],
  logSigmas: Float32Array,
): number[] {
  return timesteps.flatMap((timestep, index) => {
    return index === 0 ? [timestep] : [timestepOf(middles[index - 1], logSigmas, round), timestep];
  });
}

/** The noise levels as diffusers lists them for two calls a step: each twice but for the first, the final one three times. */
export function midpointSigmas(sigmas: readonly number[]): number[] {
  const twice = sigmas.flatMap((sigma, index) => index === 0 ? [sigma] : [sigma, sigma]);
  return [...twice, sigmas[sigmas.length - 1]];
}

/**
 * The model calls of a run.
 * @param timesteps The times of the model calls.
 * @param sigmas The noise levels as `midpointSigmas` lists them.
 * @param begin The call to begin at, which counts as the first of its step.
 */
export function midpointCalls(timesteps: readonly number[], sigmas: readonly number[], begin: number): MidpointCall[] {
  return timesteps.slice(begin).map((timestep, index) => {
    const second = index % 2 === 1;
    const place = begin + index - (second ? 1 : 0);
    return { timestep, from: sigmas[place], to: sigmas[place + 1], second };
  });
}
