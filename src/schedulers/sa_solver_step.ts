// The two moves of SA-Solver (arXiv 2309.05019): a stochastic Adams-Bashforth prediction and an Adams-Moulton correction. In:
// noise levels and how stochastic the move is. Out: factors of the sample, of the outputs and of fresh noise.

import { lambda, type NoiseLevel, type StepFactors } from "./dpm_solver_step.ts";
import { lagrangeIntegrals } from "./lagrange_integrals.ts";

/** One move of SA-Solver. */
export interface SAMove {
  /** Whether the outputs are clean samples, else they are noise. */
  clean: boolean;
  /** How much noise is added and taken away on the way: 0 for the ODE, 1 for the SDE of DDPM. */
  tau: number;
  /** The stop to go to. */
  target: NoiseLevel;
  /** The stop where the move starts. */
  from: NoiseLevel;
}

/** The factors of outputs made at `places`, which are lambdas. */
function outputFactors({ clean, tau, target, from }: SAMove, places: readonly number[]): number[] {
  const pull = 1 + tau ** 2;
  const [start, end] = [lambda(from), lambda(target)];
  const weights = lagrangeIntegrals(places, start, end, (place) => {
    return clean ? Math.exp(pull * (place - end)) : Math.exp(end - place);
  });
  return weights.map((weight) => pull * (clean ? target.alpha : -target.sigma) * weight);
}

/** What the order-2 moves take beside the integral, so that few steps err less (appendix of the paper). */
function fewStepsTerm({ tau, target, from }: SAMove): number {
  const pull = 1 + tau ** 2;
  const step = lambda(target) - lambda(from);
  return pull * target.alpha * (step ** 2 / 2 - (pull * step + Math.expm1(-pull * step)) / pull ** 2);
}

/**
 * Predicts the sample at the next stop.
 * @param move The move.
 * @param known [order] where the outputs were made, the newest first, which is where the move starts.
 */
export function saPrediction(move: SAMove, known: readonly NoiseLevel[]): StepFactors {
  const { clean, tau, target, from } = move;
  const places = known.map(lambda);
  const history = outputFactors(move, places);
  const step = lambda(target) - lambda(from);
  if (clean && places.length === 2) {
    const term = fewStepsTerm(move) / (places[0] - places[1]);
    history[0] += term;
    history[1] -= term;
  }
  if (clean) {
    const kept = Math.exp(-(tau ** 2) * step);
    const noise = target.sigma * Math.sqrt(-Math.expm1(-2 * tau ** 2 * step));
    return { sample: kept * target.sigma / from.sigma, history, noise };
  }
  return {
    sample: target.alpha / from.alpha,
    history,
    noise: tau * target.sigma * Math.sqrt(Math.expm1(2 * step)),
  };
}

/**
 * Corrects the sample at a stop once the output there is known.
 * @param move The move that led there.
 * @param known [order] where the outputs were made, the newest first, which is the stop itself.
 * @returns The factors of the outputs.
 */
export function saCorrection(move: SAMove, known: readonly NoiseLevel[]): number[] {
  const places = known.map(lambda);
  const factors = outputFactors(move, places);
  if (move.clean && places.length === 2) {
    const term = fewStepsTerm(move) / (lambda(move.target) - lambda(move.from));
    factors[0] += term;
    factors[1] -= term;
  }
  return factors;
}
