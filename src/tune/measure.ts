// How often something is measured, and what is made of the times. In: a function that does it once and says how long it took.
// Out: minimum, median, spread.

/** How long something took, measured several times. */
export interface Timing {
  minMs: number;
  medianMs: number;
  /** How far the median lies above the minimum, as a share of the minimum. */
  spread: number;
  rounds: number;
  /** Repetitions in one round; the times are of one of them. */
  repetitions: number;
  /** Timestamps of the GPU, or time on the wall without the empty round trip. */
  clock: "gpu" | "wall";
}

/** When to stop. */
export interface Patience {
  /** Milliseconds after which no further round begins. */
  budgetMs: number;
  /** Rounds at least, unless the budget is spent after the first. */
  atLeast: number;
  atMost: number;
  /** The spread below which more rounds would tell nothing new. */
  spread: number;
}

export const PATIENCE: Patience = { budgetMs: 2500, atLeast: 4, atMost: 20, spread: 0.03 };

/** Minimum, median, and how far they lie apart. */
export function summarize(times: readonly number[]): Pick<Timing, "minMs" | "medianMs" | "spread" | "rounds"> {
  const sorted = times.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const medianMs = sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { minMs: sorted[0], medianMs, spread: medianMs / sorted[0] - 1, rounds: sorted.length };
}

/**
 * Measures until the times are stable: the fastest half lies close together. A machine with other work to do never gets there,
 * and ends with the budget.
 *
 * @param once Does it once; milliseconds.
 */
export async function measure(
  once: () => Promise<number>,
  patience: Patience = PATIENCE,
  signal?: AbortSignal,
): Promise<number[]> {
  const times: number[] = [];
  const start = performance.now();
  while (times.length < patience.atMost) {
    signal?.throwIfAborted();
    times.push(await once());
    if (performance.now() - start > patience.budgetMs) break;
    if (times.length >= patience.atLeast && summarize(times).spread < patience.spread) break;
  }
  return times;
}
