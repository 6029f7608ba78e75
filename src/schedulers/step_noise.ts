// The noise z of a run's steps. In: a step's plan and what the generator drew for it. Out: z as the plan defines it.

import { UsageError } from "../errors.ts";
import type { StepPlan } from "./scheduler.ts";

/** Remembers the draw of the step before, which some plans take back. */
export class StepNoise {
  #last: Float32Array | undefined;

  /**
   * The z of the next step; to be called for every step of the run, in order.
   *
   * @param step The step.
   * @param drawn What the generator drew for it, standard normal numbers; nothing where `step.drawsNoise` is false.
   * @returns z, of the draw's length; undefined where the step adds no noise.
   * @throws {UsageError} when the step takes back a draw and the step before had none.
   * @example
   * ```ts ignore
   * const noise = new StepNoise();
   * for (const step of plan) addNoise(step, noise.next(step, step.drawsNoise ? draw() : undefined));
   * ```
   */
  next(step: Pick<StepPlan, "noise" | "previousNoise">, drawn: Float32Array | undefined): Float32Array | undefined {
    const last = this.#last;
    this.#last = drawn;
    const { noise, previousNoise = 0 } = step;
    if (noise === 0 || !drawn || previousNoise === 0) return noise === 0 ? undefined : drawn;
    if (last?.length !== drawn.length) {
      throw new UsageError(
        `Cannot take back the noise of the step before as it must be as many numbers as this step's, ${drawn.length}: ` +
          `${last?.length ?? 0}`,
      );
    }
    return drawn.map((value, index) => value + previousNoise * last[index]);
  }
}
