// The two moves of UniPC (arXiv 2302.04867, algorithms 5 to 8): a prediction from the last outputs, and a correction with one
// more. In: noise levels. Out: factors of the sample and of the outputs.

import { lambda, type NoiseLevel, type StepFactors } from "./dpm_solver_step.ts";

/** Which function B(h) the method is built on. */
export type UniPCType = "bh1" | "bh2";

interface Bases {
  sample: number;
  /** The factor of the newest known output. */
  value: number;
  /** The factor of the sum of weighted differences. */
  difference: number;
  /** The right side of the order conditions. */
  conditions: number[];
}

function bases(clean: boolean, type: UniPCType, order: number, target: NoiseLevel, from: NoiseLevel): Bases {
  const step = (lambda(target) - lambda(from)) * (clean ? -1 : 1);
  const gained = Math.expm1(step);
  const scale = type === "bh1" ? step : gained;
  const weight = -(clean ? target.alpha : target.sigma);
  let [phi, factorial] = [gained / step - 1, 1];
  const conditions = Array.from({ length: order }, (_, index) => {
    const condition = phi * factorial / scale;
    factorial *= index + 2;
    phi = phi / step - 1 / factorial;
    return condition;
  });
  const sample = clean ? target.sigma / from.sigma : target.alpha / from.alpha;
  return { sample, value: weight * gained, difference: weight * scale, conditions };
}

/** The weights that meet the order conditions: the sum of weights[k] * places[k]^i is conditions[i]. */
function orderWeights(places: readonly number[], conditions: readonly number[]): number[] {
  const size = places.length;
  const rows = conditions.slice(0, size).map((
    condition,
    power,
  ) => [...places.map((place) => place ** power), condition]);
  for (let column = 0; column < size; column++) {
    const pivot = rows.slice(column).reduce((best, row) => Math.abs(row[column]) > Math.abs(best[column]) ? row : best);
    rows.splice(rows.indexOf(pivot), 1);
    rows.splice(column, 0, pivot);
    for (const row of rows) {
      if (row === pivot) continue;
      const factor = row[column] / pivot[column];
      for (let index = column; index <= size; index++) row[index] -= factor * pivot[index];
    }
  }
  return rows.map((row, index) => row[size] / row[index]);
}

/** The places of older outputs, in steps from the newest known one. */
function placesOf(target: NoiseLevel, known: readonly NoiseLevel[]): number[] {
  const step = lambda(target) - lambda(known[0]);
  return known.slice(1).map((level) => (lambda(level) - lambda(known[0])) / step);
}

/**
 * Predicts the sample at the next stop.
 * @param clean Whether the outputs are clean samples, else they are noise.
 * @param type The function B(h).
 * @param target The stop to go to.
 * @param known [order] where the outputs were made, the newest first, which is where the move starts.
 */
export function unipcPrediction(
  clean: boolean,
  type: UniPCType,
  target: NoiseLevel,
  known: readonly NoiseLevel[],
): StepFactors {
  const { sample, value, difference, conditions } = bases(clean, type, known.length, target, known[0]);
  const places = placesOf(target, known);
  // With one difference the exact weight is near 1/2, and the paper takes 1/2.
  const weights = places.length === 1 ? [0.5] : orderWeights(places, conditions);
  const older = places.map((place, index) => difference * weights[index] / place);
  return { sample, history: [older.reduce((sum, factor) => sum - factor, value), ...older], noise: 0 };
}

/**
 * Corrects the sample at a stop once the output there is known.
 * @param clean Whether the outputs are clean samples, else they are noise.
 * @param type The function B(h).
 * @param target The stop where the sample is.
 * @param known [order] where the outputs before that were made, the newest first, which is where the move starts.
 * @returns The factors of the output at `target` and of the known ones.
 */
export function unipcCorrection(
  clean: boolean,
  type: UniPCType,
  target: NoiseLevel,
  known: readonly NoiseLevel[],
): number[] {
  const { value, difference, conditions } = bases(clean, type, known.length, target, known[0]);
  const places = placesOf(target, known);
  const weights = places.length === 0 ? [0.5] : orderWeights([...places, 1], conditions);
  const newest = difference * weights[places.length];
  const older = places.map((place, index) => difference * weights[index] / place);
  return [newest, older.reduce((sum, factor) => sum - factor, value - newest), ...older];
}
