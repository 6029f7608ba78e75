// What a scheduler is: a number of steps comes in, a plan of coefficients goes out. A scheduler never sees a latent and
// never touches the GPU; whoever runs the plan keeps the sample x, the history m and the noise z, and does for each step
//
//   output = model(inputScale * x, timestep)
//   m      = convert.sample * x + convert.output * output        then clipped and restored where the plan says so
//   x      = sample * x + history[0] * m0 + history[1] * m1 + ... + noise * z        m0 is the newest m
//                       + rawOutput * output        where the plan says so
//
// so that one kernel steps every method. The x of a step is always the sample from before the step and before inputScale.
//
// How the methods fit:
// - Several stages a step (Heun, KDPM2, single-step DPM) are several StepPlans. A stage that goes back to the sample from
//   before the last stage needs no second copy of it: that sample is the present one minus what the last stage added,
//   which is linear in x, in the history and in the noise.
// - A corrector (UniPC, SA-Solver) moves x once the new m is known and then predicts from there. The correction is linear
//   in x and in the history too, so both are one set of coefficients.
// - What is not linear in x and m is an optional field each: the raw model output beside a clipped m (DDIM), a learned
//   variance that scales z (DDPM).

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

/** How a learned variance v scales the noise. */
export type NoiseScale =
  /** The factor of z is noise * exp(slope * v). */
  | { kind: "exponential"; slope: number }
  /** The factor of z is noise * sqrt(v). */
  | { kind: "root" };

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
  /**
   * The factors of the newest m, the one before it and so on in the new sample, at least one. At most three of the factors
   * behind the first are not 0; the Runge-Kutta start of PNDM looks twelve predictions back.
   */
  history: number[];
  /** When given, the factor of the model output in the new sample, as it came and without clip: of DDIM beside a clipped m. */
  rawOutput?: number;
  /** The factor of z, a standard normal tensor of x's shape, in the new sample. */
  noise: number;
  /** Whether z is drawn from the generator at this step. PyTorch's samplers draw it even where its factor is 0, and later draws shift with it. */
  drawsNoise: boolean;
  /** When given, the second half of the output's channels, v, scales z element by element. */
  noiseScale?: NoiseScale;
  /** When given, z is the fresh draw + previousNoise * the draw of the step before: of single-step SDE solvers, which take the last draw back. */
  previousNoise?: number;
}

/** What {@linkcode Scheduler.plan} takes: what diffusers gives to `step()`, so a scheduler that has no such option ignores it. */
export interface PlanOptions {
  /** The place in `timesteps` to begin at, of a sample that holds noise of that time: of image to image. */
  begin?: number;
  /**
   * Whether PNDM improves on its first call by a second where it begins later, too. diffusers does not, so that its samples lag a step
   * behind and end with noise in them.
   */
  repeatsFirst?: boolean;
  /** How much of DDPM's noise DDIM adds: 0, as when nothing is given, none, 1 all. */
  eta?: number;
  /** Whether DDIM takes the noise that fits the clipped sample instead of the predicted one. */
  useClippedModelOutput?: boolean;
  /** How many of the last derivatives LMS reads, from 1 to 4. */
  order?: number;
  /** The extra noise of Euler, spread over the run (Karras et al., arXiv 2206.00364). */
  sChurn?: number;
  /** The lowest noise level at which `sChurn` counts. */
  sTmin?: number;
  /** The highest noise level at which `sChurn` counts. */
  sTmax?: number;
  /** The standard deviation of the extra noise. */
  sNoise?: number;
}

/** What {@linkcode Scheduler.setTimesteps} takes beside the number of steps. */
export interface TimestepOptions {
  /** The times to ask the model at, the noisiest first; they replace the spacing of the config and the number of steps. */
  timesteps?: readonly number[];
  /** The noise levels to step through; few schedulers take them. Euler's end with the final one, UniPC's before it. */
  sigmas?: readonly number[];
  /** The exponent of a shift that depends on the picture's size; only with `useDynamicShifting`. */
  mu?: number;
  /** How many steps the distilled model was taught with; of LCM, in place of its config's. */
  originalInferenceSteps?: number;
  /** The share of the schedule, from its clean end, to spread the steps over; of LCM. */
  strength?: number;
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
  /** How many entries of `timesteps` one of the asked-for steps has, but for the last, which may have fewer. */
  readonly callsPerStep: number;
  /**
   * Chooses the times and noise levels of a run.
   * @param numInferenceSteps The number of steps; not read when `options.timesteps` or `options.sigmas` is given.
   * @throws {UsageError} When the method cannot run with these.
   */
  setTimesteps(numInferenceSteps: number, options?: TimestepOptions): void;
  /**
   * Plans the whole run.
   * @returns One plan a model call, in order.
   * @throws {UsageError} Before `setTimesteps`, or when the run meets a noise level where the method has no value.
   */
  plan(options?: PlanOptions): StepPlan[];
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
 * import { mixNoise } from "./scheduler.ts";
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
