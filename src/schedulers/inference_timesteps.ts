// Timesteps of the schedulers that end at the cleanest training step. In: a number of steps. Out: as many times, the noisiest
// first, not yet rounded. The DPM-Solver family leaves the cleanest step out and has its own spacing.

import { evenly, spacedTimesteps, type TimestepSpacing } from "./spacing.ts";

/**
 * Chooses times.
 * @param spacing How (arXiv 2305.08891, table 2).
 * @param count The number of steps.
 * @param numTrainTimesteps The number of training steps.
 * @param stepsOffset What "leading" adds to each.
 * @returns `count` times, fractions with "linspace"; "trailing" gives one more for a few counts, as it does in diffusers.
 */
export function inferenceTimesteps(
  spacing: TimestepSpacing,
  count: number,
  numTrainTimesteps: number,
  stepsOffset: number,
): number[] {
  switch (spacing) {
    case "linspace":
      return evenly(0, numTrainTimesteps - 1, count).reverse();
    case "leading": {
      const stride = Math.floor(numTrainTimesteps / count);
      return Array.from({ length: count }, (_, index) => (count - 1 - index) * stride + stepsOffset);
    }
    case "trailing":
      return spacedTimesteps("trailing", count, numTrainTimesteps, numTrainTimesteps, stepsOffset);
  }
}
