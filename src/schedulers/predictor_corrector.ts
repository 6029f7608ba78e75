// A method that corrects the sample once the model was asked there, and predicts from the corrected one. In: the factors of
// both moves. Out: the factors of both in one.

import type { StepFactors } from "./dpm_solver_step.ts";

/**
 * Corrects and predicts with one set of factors.
 *
 * The last prediction made x = sample * y + the sum of last.history[j] * m_(j+1) + noise from the corrected sample y before
 * it. The correction goes from y too, with the same factor of y and the same noise, so that it differs in the factors of the
 * predictions alone.
 *
 * @param move The prediction from the corrected sample.
 * @param correction The factors of the newest prediction and of those before it in the corrected sample, undefined when there
 * is no correction.
 * @param last The factors of the predictions in the last move, the newest of them being one age older now.
 */
export function correctAndPredict(
  move: StepFactors,
  correction: readonly number[] | undefined,
  last: readonly number[],
): StepFactors {
  if (!correction) return move;
  const length = Math.max(move.history.length, correction.length, last.length + 1);
  const history = Array.from({ length }, (_, age) => {
    const shift = (correction[age] ?? 0) - (age === 0 ? 0 : last[age - 1] ?? 0);
    return move.sample * shift + (move.history[age] ?? 0);
  });
  return { sample: move.sample, history, noise: move.noise };
}
