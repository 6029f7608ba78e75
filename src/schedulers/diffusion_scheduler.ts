// What schedulers of diffusers share. In: a config and the training schedule in it. Out: the frame of a scheduler with the
// noise that each training step holds.

import { type BetaOptions, noiseToSignal, trainingAlphas } from "./noise_schedule.ts";
import { PlanningScheduler } from "./planning_scheduler.ts";

/** The frame of a scheduler of diffusers. */
export abstract class DiffusionScheduler<C extends BetaOptions> extends PlanningScheduler<C> {
  /** [T] the share of the clean sample's variance that is left after each training step. */
  protected readonly alphas: Float32Array;

  /**
   * @param owner The name of the class.
   * @param options The options as they were read.
   * @param lastAlpha What stands in for an alpha of 0 at the last training step.
   * @throws {ConfigError} When the betas make no schedule.
   */
  protected constructor(owner: string, options: { values: C; unknownKeys: string[] }, lastAlpha = 0) {
    super(owner, options);
    this.alphas = trainingAlphas(this.config, lastAlpha);
    this.setTrainingStops(
      Array.from(this.alphas.keys()).reverse(),
      Array.from(noiseToSignal(this.alphas)).reverse(),
    );
  }

  /** Fails when `count` is no number of steps. */
  protected checkCount(count: number, most = this.config.numTrainTimesteps): void {
    this.checkRange(count, most);
  }

  /** Fails when the config asks for more than one spacing of the noise levels. */
  protected checkSpacings(config: { useKarrasSigmas: boolean; useExponentialSigmas: boolean; useBetaSigmas: boolean }) {
    const spacings = (["useKarrasSigmas", "useExponentialSigmas", "useBetaSigmas"] as const).filter((key) =>
      config[key]
    );
    if (spacings.length > 1) {
      this.refuseConfig("only one spacing of the noise levels can be used", spacings.join(" and "));
    }
  }
}
