// How long a run will still take. In: how many steps are done, now and then. Out: seconds.

/** Tells the time left from the steps that were done. */
export class StepClock {
  #since = { time: performance.now(), done: 0 };

  /**
   * The time left, as the steps so far went.
   *
   * @param done Steps that are done.
   * @param steps All of them.
   * @param now Milliseconds.
   * @returns Seconds; nothing before a step is done.
   * @example
   * ```ts
   * import { StepClock } from "./step_clock.ts";
   * const clock = new StepClock();
   * console.assert(clock.left(0, 10) === undefined && clock.left(1, 10)! >= 0);
   * ```
   */
  left(done: number, steps: number, now = performance.now()): number | undefined {
    const since = this.#since;
    // The first step compiles kernels, which the others do not: it counts until there is another.
    if (since.done === 0 && done > 0) this.#since = { time: now, done };
    if (done <= since.done) return undefined;
    return (now - since.time) / (done - since.done) * (steps - done) / 1000;
  }
}
