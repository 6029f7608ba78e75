// What schedulers share. In: a config. Out: the frame of a scheduler, to which a method adds how it chooses its stops and how
// it steps.

import { ConfigError, UsageError } from "../errors.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import type { PlanOptions, Scheduler, StepPlan, TimestepOptions } from "./scheduler.ts";

/** A class of schedulers that are made from options. */
export type SchedulerClass<T extends Scheduler = Scheduler> = new (options?: never) => T;

/** The frame of a scheduler. */
export abstract class PlanningScheduler<C extends object> implements Scheduler {
  readonly config: Readonly<C>;
  readonly unknownConfigKeys: readonly string[];
  /** The name of the class, for messages. */
  protected readonly owner: string;
  #timesteps: readonly number[] = [];
  #sigmas: readonly number[] = [];
  #ready = false;

  /**
   * @param owner The name of the class.
   * @param options The options as they were read.
   */
  protected constructor(owner: string, options: { values: C; unknownKeys: string[] }) {
    this.owner = owner;
    this.config = Object.freeze(options.values);
    this.unknownConfigKeys = options.unknownKeys;
  }

  /**
   * Makes a scheduler from diffusers' JSON, that of a related class too.
   * @param json The parsed content of `scheduler_config.json`.
   * @throws {ConfigError} When a value cannot be honoured.
   */
  static fromConfig<T extends Scheduler>(this: SchedulerClass<T>, json: unknown): T {
    return new this(json as never);
  }

  /**
   * Makes a scheduler from a checkpoint folder.
   * @param folder A path or a URL.
   * @param options `subfolder`: where in it `scheduler_config.json` lies.
   * @throws {ConfigError} When the file cannot be read or a value in it cannot be honoured.
   */
  static async fromPretrained<T extends Scheduler>(
    this: SchedulerClass<T>,
    folder: string | URL,
    { subfolder = "" }: { subfolder?: string } = {},
  ): Promise<T> {
    return new this(await readJson(joinPath(folder, subfolder, "scheduler_config.json")) as never);
  }

  get timesteps(): readonly number[] {
    return this.#timesteps;
  }

  get sigmas(): readonly number[] {
    return this.#sigmas;
  }

  get initNoiseSigma(): number {
    return 1;
  }

  get callsPerStep(): number {
    return 1;
  }

  abstract setTimesteps(numInferenceSteps: number, options?: TimestepOptions): void;

  abstract addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array;

  plan(options: PlanOptions = {}): StepPlan[] {
    const { begin = 0 } = options;
    if (!this.#ready) this.refuse("plan", "setTimesteps must come first", "it was not called");
    if (!Number.isInteger(begin) || begin < 0 || begin >= this.#timesteps.length) {
      this.refuse("plan", `begin must be a place in the ${this.#timesteps.length} timesteps`, `${begin}`);
    }
    const plan = this.steps(begin, options);
    const broken = plan.find((step) => !factorsOf(step).every(Number.isFinite));
    if (broken) {
      const rule = "its noise levels must fall and lie where the method has a value";
      this.refuse(`step from timestep ${broken.timestep}`, rule, `factors ${factorsOf(broken).join(", ")}`);
    }
    return plan;
  }

  /** The steps from place `begin` of `timesteps` on. */
  protected abstract steps(begin: number, options: PlanOptions): StepPlan[];

  /** Sets the stops that are listed before a run is chosen: every training step. */
  protected setTrainingStops(timesteps: readonly number[], sigmas: readonly number[]): void {
    this.#timesteps = timesteps;
    this.#sigmas = sigmas;
  }

  /** Sets the stops of the run. */
  protected setStops(timesteps: readonly number[], sigmas: readonly number[]): void {
    this.setTrainingStops(timesteps, sigmas);
    this.#ready = true;
  }

  /** Fails when the caller gives one of these options of `setTimesteps`. */
  protected refuseOptions(options: TimestepOptions, ...names: (keyof TimestepOptions)[]): void {
    const given = names.find((name) => options[name] !== undefined);
    if (given) this.refuse(`take ${given}`, "it has no such option", String(options[given]));
  }

  /** Fails when `count` is no number of steps from 1 to `most`. */
  protected checkRange(count: number, most: number): void {
    if (Number.isInteger(count) && count >= 1 && count <= most) return;
    this.refuse("set timesteps", `their number must be whole and from 1 to ${most}`, String(count));
  }

  protected refuse(verb: string, rule: string, state: string): never {
    throw new UsageError(`Cannot ${verb} in ${this.owner} as ${rule}: ${state}`);
  }

  protected refuseConfig(rule: string, state: string): never {
    throw new ConfigError(`Cannot make ${this.owner} as ${rule}: ${state}`);
  }
}

function factorsOf({ convert, restore, sample, history, noise, rawOutput = 0, noiseScale, inputScale }: StepPlan) {
  const slope = noiseScale?.kind === "exponential" ? noiseScale.slope : 0;
  const mixes = [convert, restore ?? convert].flatMap((mix) => [mix.sample, mix.output]);
  return [inputScale, ...mixes, sample, ...history, rawOutput, noise, slope];
}
