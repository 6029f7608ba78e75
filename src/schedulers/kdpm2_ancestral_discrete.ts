// The midpoint method over log sigma with ancestral noise. In: options, a number of steps. Out: the coefficients of every
// model call, two a step but for the last.

import { ancestralLevels } from "./euler_ancestral_discrete.ts";
import { type MidpointConfig, MidpointScheduler } from "./midpoint_scheduler.ts";
import type { StageCall } from "./two_call_scheduler.ts";

/** The options of {@linkcode KDPM2AncestralDiscreteScheduler}; names and meanings are those of diffusers. */
export type KDPM2AncestralDiscreteConfig = MidpointConfig;

/**
 * The midpoint method with ancestral noise: two model calls and one draw of noise a step.
 *
 * @example
 * ```ts
 * import { KDPM2AncestralDiscreteScheduler } from "./kdpm2_ancestral_discrete.ts";
 * const scheduler = new KDPM2AncestralDiscreteScheduler({ betaStart: 0.0001, betaEnd: 0.02 });
 * scheduler.setTimesteps(10);
 * console.assert(scheduler.plan().filter((step) => step.drawsNoise).length === 9);
 * ```
 */
export class KDPM2AncestralDiscreteScheduler extends MidpointScheduler {
  /**
   * @param options What differs from the defaults of diffusers.
   * @throws {ConfigError} When an option has a wrong value, or two do not fit together.
   */
  constructor(options: Partial<KDPM2AncestralDiscreteConfig> = {}) {
    super("KDPM2AncestralDiscreteScheduler", options);
  }

  protected landing(from: number, to: number): number {
    return ancestralLevels(from, to).down;
  }

  protected override call(from: number, to: number, isSecond: boolean): StageCall {
    const noise = isSecond ? ancestralLevels(from, to).up : 0;
    return { ...super.call(from, to, isSecond), noise, drawsNoise: isSecond };
  }
}
