// Single-step methods: each step asks the model at a few stops and goes every time from where the step began. In: the factors
// of each move from there. Out: the factors from one model call to the next.

import {
  type DPMSolverAlgorithm,
  type DPMSolverType,
  integrals,
  lambda,
  type NoiseLevel,
  type StepFactors,
} from "./dpm_solver_step.ts";
import type { StepPlan } from "./scheduler.ts";

/**
 * The factors of a move from the start of a step, by the predictions that were made since then (arXiv 2206.00927 and
 * 2211.01095, algorithms of orders 1, 2 and 3).
 * @param algorithm Which equation is solved.
 * @param solverType How orders 2 and 3 use their differences.
 * @param target The stop to go to.
 * @param stops [order] where predictions were made, the newest first; the last one is where the step began.
 * @returns One history factor a stop.
 */
export function singlestepMove(
  algorithm: DPMSolverAlgorithm,
  solverType: DPMSolverType,
  target: NoiseLevel,
  stops: readonly NoiseLevel[],
): StepFactors {
  const start = stops[stops.length - 1];
  const step = lambda(target) - lambda(start);
  const { sample, value, slope, curve, noise } = integrals(algorithm, target, start, step);
  if (stops.length === 1) return { sample, history: [value], noise };
  // Where the newest predictions were made, as shares of the step.
  const [far, near] = stops.map((stop) => (lambda(stop) - lambda(start)) / step);
  if (stops.length === 2) {
    const tilt = (solverType === "midpoint" ? 0.5 * value : slope) / far;
    return { sample, history: [tilt, value - tilt], noise };
  }
  if (solverType === "midpoint") return { sample, history: [slope / far, 0, value - slope / far], noise };
  const newest = (2 * curve - near * slope) / (far - near) / far;
  const older = (far * slope - 2 * curve) / (far - near) / near;
  return { sample, history: [newest, older, value - newest - older], noise };
}

/**
 * The factors from the sample after the last move to the sample after this one, both from the start of the step.
 * @param move This move.
 * @param last The last move of the step, undefined when this is its first.
 */
export function nextMove(
  move: StepFactors,
  last: StepFactors | undefined,
): Pick<StepPlan, "sample" | "history" | "noise" | "previousNoise"> {
  if (!last) return move;
  const back = move.sample / last.sample;
  return {
    sample: back,
    history: move.history.map((factor, age) => age === 0 ? factor : factor - back * last.history[age - 1]),
    noise: move.noise,
    ...(last.noise !== 0 && { previousNoise: -back * last.noise / move.noise }),
  };
}
