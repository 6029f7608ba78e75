// Naive references and comparison of results. Loops as plain as the definition, in doubles.

import assert from "node:assert/strict";

/** Numbers in -1..1 that are the same in every run. */
export function numbers(count: number, seed = 1, scale = 1): Float32Array {
  let state = (seed * 2654435761) >>> 0 || 1;
  const result = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    result[i] = (state / 2147483648 - 1) * scale;
  }
  return result;
}

/** Relative L2 distance of `actual` from `expected`. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0, norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / Math.max(norm, 1e-30));
}

/** Fails, printing the worst elements, unless every element is within `tolerance` of its expected value (relative to the largest). */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = "result",
): void {
  assert.equal(actual.length, expected.length, `${what}: ${actual.length} elements, expected ${expected.length}`);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]));
  const bound = tolerance * Math.max(largest, 1e-6);
  const wrong: [number, number][] = [];
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i] - expected[i]);
    if (!(error <= bound)) wrong.push([i, error]);
  }
  if (wrong.length === 0) return;
  const rank = (error: number) => Number.isNaN(error) ? Infinity : error;
  const worst = wrong.sort((a, b) => rank(b[1]) - rank(a[1])).slice(0, 5)
    .map(([i, error]) => `  [${i}] ${actual[i]} expected ${expected[i]} (off by ${error})`);
  assert.fail(`${what}: ${wrong.length} of ${expected.length} elements off by more than ${bound}\n${worst.join("\n")}`);
}
