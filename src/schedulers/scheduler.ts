// What a scheduler is: a number of steps comes in, a plan of coefficients goes out. A scheduler never sees a latent and
// never touches the GPU; whoever runs the plan keeps the sample x, the history m and the noise z, and does for each step
//
//   output = model(inputScale * x, timestep)
//   m      = convert.sample * x + convert.output * output        then clipped and restored where the plan says so
//   x      = sample * x + history[0] * m0 + history[1] * m1 + ... + noise * z        m0 is the newest m
//
// so that one kernel steps every method. The x of a step is always the sample from before the step and before inputScale.
//
// How other methods fit without changing what is here:
// - Several stages a step (Heun, KDPM2, single-step DPM) are several StepPlans. A stage that goes back to the sample from
//   before the last stage needs no second copy of it: that sample is the present one minus what the last stage added,
//   which is linear in x and in the history.
// - A corrector (UniPC, SA-Solver) moves x once the new m is known and then predicts from there. The correction is linear
//   in x and in the history too, so both are one set of coefficients.
// - What is not linear in x and m will be one more optional field each: the raw model output beside a clipped m (DDIM),
//   a learned variance that scales z (DDPM).

import { UsageError } from "../errors.ts";

/** How a predicted clean sample x0 is bounded before it enters the history. */
export type Clip =
  /** s = the `ratio` quantile of |x0| over one batch item (linear interpolation), at least 1, then at most `max`; x0 becomes clamp(x0, -s, s) / s. */
  | { kind: "dynamic"; ratio: number; max: number }
  /** x0 becomes clamp(x0, -max, max). */
  | { kind: "range"; max: number };

/** A linear mix of the sample x and of a second tensor, which is the model output or the clipped x0. */
export interface Mix {
  sample: number;
  output: number;
}

/** One step of a sampling run as plain coefficients. */
export interface StepPlan {
  /** The time that the model is asked at, in training steps. */
  timestep: number;
  /** The model's input is inputScale * x. */
  inputScale: number;
  /** m = convert.sample * x + convert.output * output. */
  convert: Mix;
  /** When given, m is a predicted x0 and is clipped before it goes on. */
  clip?: Clip;
  /** When given (only with `clip`), the m that enters the history is restore.sample * x + restore.output * (the clipped x0). */
  restore?: Mix;
  /** The factor of x in the new sample. */
  sample: number;
  /** The factors of the newest m, the one before it and so on in the new sample: 1 to 4 of them, as many as are read. */
  history: number[];
  /** The factor of z, a standard normal tensor of x's shape, in the new sample. */
  noise: number;
  /** Whether z is drawn from the generator at this step. PyTorch's samplers draw it even where its factor is 0, and later draws shift with it. */
  drawsNoise: boolean;
}

/** What {@linkcode Scheduler.setTimesteps} takes beside the number of steps. */
export interface TimestepOptions {
  /** The times to ask the model at, the noisiest first; they replace the spacing of the config and the number of steps. */
  timesteps?: readonly number[];
  /** The noise levels to step through, without the final one; few schedulers take them. */
  sigmas?: readonly number[];
  /** The exponent of a shift that depends on the picture's size; only with `useDynamicShifting`. */
  mu?: number;
}

/** A sampling method with its noise schedule. */
export interface Scheduler {
  /** The options that it was made with, defaults filled in. */
  readonly config: object;
  /** The keys of its JSON config that it does not know and did not read. */
  readonly unknownConfigKeys: readonly string[];
  /** The times of the run, the first one first; before `setTimesteps` every training step, the noisiest first. */
  readonly timesteps: readonly number[];
  /** The noise level at each of `timesteps`, and after `setTimesteps` the level where the run ends. */
  readonly sigmas: readonly number[];
  /** The standard deviation of the noise that a run starts from. */
  readonly initNoiseSigma: number;
  /**
   * Chooses the times and noise levels of a run.
   * @param numInferenceSteps The number of steps; not read when `options.timesteps` or `options.sigmas` is given.
   * @throws {UsageError} When the method cannot run with these.
   */
  setTimesteps(numInferenceSteps: number, options?: TimestepOptions): void;
  /**
   * Plans the whole run.
   * @returns One plan a model call, in order.
   * @throws {UsageError} Before `setTimesteps`.
   */
  plan(): StepPlan[];
  /**
   * Mixes noise into clean samples.
   * @param original [B, ...] the clean samples.
   * @param noise [B, ...] standard normal numbers.
   * @param timesteps [B] one time a sample.
   * @returns [B, ...] the noisy samples.
   * @throws {UsageError} When the lengths do not fit together.
   */
  addNoise(original: Float32Array, noise: Float32Array, timesteps: readonly number[]): Float32Array;
}

/**
 * Mixes noise into samples with one pair of factors a sample.
 * @param original [B, ...] the clean samples.
 * @param noise [B, ...] standard normal numbers.
 * @param factors [B] of [factor of the sample, factor of the noise].
 * @returns [B, ...] the noisy samples.
 * @throws {UsageError} When the lengths do not fit together.
 * @example
 * ```ts
 * import { mixNoise } from "./src/schedulers/scheduler.ts";
 * const noisy = mixNoise(Float32Array.of(2, 4), Float32Array.of(1, 1), [[1, 0], [0.5, 3]]);
 * console.assert(noisy.join() === "2,5");
 * ```
 */
export function mixNoise(original: Float32Array, noise: Float32Array, factors: [number, number][]): Float32Array {
  const batch = factors.length;
  if (noise.length !== original.length || batch === 0 || original.length % batch !== 0) {
    throw new UsageError(
      `Cannot add noise [${noise.length}] to samples [${original.length}] as both must hold the same whole number of ` +
        `values for each timestep: ${batch} timesteps`,
    );
  }
  const size = original.length / batch;
  return original.map((value, index) => {
    const [keep, add] = factors[Math.floor(index / size)];
    return keep * value + add * noise[index];
  });
}
