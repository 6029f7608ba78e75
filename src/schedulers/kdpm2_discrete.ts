// The midpoint method over log sigma, as k-diffusion has it for the second-order DPM-Solver. In: options, a number of steps.
// Out: the coefficients of every model call, two a step but for the last.

import { type MidpointConfig, MidpointScheduler } from "./midpoint_scheduler.ts";

/** The options of {@linkcode KDPM2DiscreteScheduler}; names and meanings are those of diffusers. */
export type KDPM2DiscreteConfig = MidpointConfig;

/**
 * The midpoint method: two model calls a step, second order.
 *
 * @example
 * ```ts
 * import { KDPM2DiscreteScheduler } from "./kdpm2_discrete.ts";
 * const scheduler = new KDPM2DiscreteScheduler({ betaStart: 0.0001, betaEnd: 0.02 });
 * scheduler.setTimesteps(10);
 * console.assert(scheduler.plan().length === 19);
 * ```
 */
export class KDPM2DiscreteScheduler extends MidpointScheduler {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<KDPM2DiscreteConfig> = {}) {
    super("KDPM2DiscreteScheduler", options);
  }

  protected landing(_from: number, to: number): number {
    return to;
  }
}
