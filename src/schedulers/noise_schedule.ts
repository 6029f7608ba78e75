// How much noise each training step holds. In: the options of a beta schedule. Out: one float32 number a training step.
// Everything is rounded to float32 where PyTorch rounds, since the models were trained and are sampled with those numbers.

import { ConfigError } from "../errors.ts";

/** The options that name a schedule of betas. */
export interface BetaOptions {
  numTrainTimesteps: number;
  betaStart: number;
  betaEnd: number;
  betaSchedule: "linear" | "scaled_linear" | "squaredcos_cap_v2" | "sigmoid" | "laplace" | "exp";
  trainedBetas: readonly number[] | null;
}

const round = Math.fround;

/**
 * The betas of training: the share of noise that each step adds.
 * @returns [numTrainTimesteps] the betas, the least noisy step first.
 * @throws {ConfigError} When a beta is outside [0, 1), or there are more or fewer trained ones than steps.
 */
export function trainingBetas(options: BetaOptions): Float32Array {
  const betas = betasOf(options);
  if (betas.length !== options.numTrainTimesteps) {
    throw new ConfigError(
      `Cannot use trainedBetas [${betas.length}] as there must be one for each training step: ` +
        `numTrainTimesteps is ${options.numTrainTimesteps}`,
    );
  }
  const bad = betas.findIndex((beta) => !(beta >= 0 && beta < 1));
  if (bad >= 0) {
    throw new ConfigError(`Cannot use betas [${betas.length}] as each must be in [0, 1): beta ${bad} is ${betas[bad]}`);
  }
  return betas;
}

function betasOf(options: BetaOptions): Float32Array {
  const { numTrainTimesteps: steps, betaStart, betaEnd, betaSchedule, trainedBetas } = options;
  if (trainedBetas) return Float32Array.from(trainedBetas);
  if (betaSchedule === "linear") return evenFloats(betaStart, betaEnd, steps);
  if (betaSchedule === "scaled_linear") {
    return evenFloats(Math.sqrt(betaStart), Math.sqrt(betaEnd), steps).map((root) => root * root);
  }
  if (betaSchedule === "sigmoid") {
    const width = round(betaEnd - betaStart);
    return evenFloats(-6, 6, steps).map((place) => round(round(1 / (1 + Math.exp(-place))) * width) + round(betaStart));
  }
  const kept = SIGNAL_LEFT[betaSchedule];
  return Float32Array.from({ length: steps }, (_, step) => {
    // The last betas of these would reach 1.
    return Math.min(1 - kept((step + 1) / steps) / kept(step / steps), 0.999);
  });
}

/** The share of the clean sample's variance that is left at a time from 0 to 1. */
const SIGNAL_LEFT = {
  // The cosine schedule of Nichol and Dhariwal (arXiv 2102.09672).
  squaredcos_cap_v2: (time: number) => Math.cos(((time + 0.008) / 1.008) * Math.PI / 2) ** 2,
  exp: (time: number) => Math.exp(-12 * time),
  laplace: (time: number) => {
    const logRatio = -0.5 * (time <= 0.5 ? 1 : -1) * Math.log(1 - 2 * Math.abs(0.5 - time) + 1e-6);
    const ratio = Math.exp(logRatio);
    return Math.sqrt(ratio / (1 + ratio));
  },
};

/** torch.linspace in float32, which counts the second half back from the end. */
export function evenFloats(start: number, end: number, count: number): Float32Array {
  const [first, last] = [round(start), round(end)];
  const step = count > 1 ? round(round(last - first) / (count - 1)) : 0;
  return Float32Array.from({ length: count }, (_, index) => {
    return index < Math.floor(count / 2) ? first + step * index : last - step * (count - 1 - index);
  });
}

/**
 * Moves a schedule so that its last step is pure noise (arXiv 2305.08891, algorithm 1).
 * @param betas [T] the betas.
 * @returns [T] betas whose cumulative alpha ends at 0 and begins where it began.
 */
export function zeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumulativeAlphas(betas).map(Math.sqrt);
  const [first, last] = [roots[0], roots[roots.length - 1]];
  const stretch = round(first / round(first - last));
  const alphas = roots.map((root) => round(round(root - last) * stretch) ** 2);
  return alphas.map((alpha, step) => 1 - (step === 0 ? alpha : round(alpha / alphas[step - 1])));
}

/**
 * The share of the clean sample's variance that is left after each training step.
 * @param betas [T] the betas.
 * @returns [T] the running product of 1 - beta.
 */
export function cumulativeAlphas(betas: Float32Array): Float32Array {
  // PyTorch keeps the running product of float32 numbers in double.
  let product = 1;
  return betas.map((beta) => product *= round(1 - beta));
}

/**
 * The cumulative alphas of a schedule.
 * @param options The schedule; with `rescaleBetasZeroSnr` its last step is pure noise.
 * @param lastAlpha What stands in for the 0 at that last step, for methods that divide by it.
 * @returns [T] the cumulative alphas.
 * @throws {ConfigError} When a beta is outside [0, 1), or there are more or fewer trained ones than steps.
 */
export function trainingAlphas(
  options: BetaOptions & { rescaleBetasZeroSnr?: boolean },
  lastAlpha = 0,
): Float32Array {
  const betas = trainingBetas(options);
  if (!options.rescaleBetasZeroSnr) return cumulativeAlphas(betas);
  const alphas = cumulativeAlphas(zeroTerminalSnr(betas));
  alphas[alphas.length - 1] = lastAlpha;
  return alphas;
}

/**
 * The ratio of noise to clean sample at each training step.
 * @param alphasCumprod [T] the cumulative alphas.
 * @returns [T] sigma = sqrt((1 - alpha) / alpha).
 */
export function noiseToSignal(alphasCumprod: Float32Array): Float32Array {
  return alphasCumprod.map((alpha) => Math.sqrt(round(round(1 - alpha) / alpha)));
}
