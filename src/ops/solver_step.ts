// solverStep: a scheduler's plan, carried out on the GPU. In: the model's output of each step. Out: the sample, stepped in place.
// Guidance, clipping, the learned variance and the step itself are one dispatch.

import predictionSource from "../../shaders/solver_prediction.wgsl" with { type: "text" };
import source from "../../shaders/solver_step.wgsl" with { type: "text" };
import thresholdSource from "../../shaders/dynamic_threshold.wgsl" with { type: "text" };
import { ShapeError, UsageError } from "../errors.ts";
import type { Scope } from "../gpu/arena.ts";
import type { ParamValues } from "../gpu/kernel.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import { formatShape, type Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "solver_step", source, shared: [predictionSource] };
const THRESHOLD = { name: "dynamic_threshold", source: thresholdSource, shared: [predictionSource] };
const MAX_KEPT_READS = 3;
const MAX_ANSWERS = 3;

/** The part of a scheduler's step plan that moves the sample; `StepPlan` says what each number means. */
export interface SolverStepPlan {
  convert: { sample: number; output: number };
  clip?: { kind: "dynamic"; ratio: number; max: number } | { kind: "range"; max: number };
  restore?: { sample: number; output: number };
  sample: number;
  history: readonly number[];
  rawOutput?: number;
  noise: number;
  noiseScale?: { kind: "exponential"; slope: number } | { kind: "root" };
}

/** What a step takes beside the model's output. */
export interface SolverStepOptions {
  /**
   * When given, the output holds several answers to all samples, a0, then a1 and possibly a2, and the prediction is
   * a0 + factors[0] * (a1 - a0) + factors[1] * (a2 - a0); in channels from `channels` on it is the last answer.
   */
  guidance?: { factors: readonly number[]; channels?: number };
  /** [B, C, h, w] the z of the plan; read only where the plan adds noise. */
  noise?: Tensor;
}

/** Where the quantile lies in a sorted row: `torch.quantile` works it out in f32, and so it must be here. */
function quantilePlace(count: number, ratio: number): { rank: number; weight: number } {
  const place = Math.fround(Math.fround(ratio) * (count - 1));
  const rank = Math.min(Math.max(Math.floor(place), 0), count - 1);
  return { rank, weight: rank === count - 1 ? 0 : place - rank };
}

/** Predictions that a step reads beside its own, as age and factor; those with the factor 0 are not read. */
function keptReads({ history }: SolverStepPlan): { age: number; factor: number }[] {
  return history.map((factor, age) => ({ age, factor })).slice(1).filter(({ factor }) => factor !== 0);
}

/** The age of the oldest prediction that a step reads. */
function oldestRead(plan: SolverStepPlan): number {
  return keptReads(plan).at(-1)?.age ?? 0;
}

/** A sample on its way through a run, with the predictions that later steps read. */
export class SolverState {
  readonly #history: Tensor;
  /** Predictions kept; the newest replaces the oldest. */
  readonly #slots: number;
  #steps = 0;

  /**
   * @param scope Holds the history until it ends.
   * @param sample [B, C, h, w] f32; `step()` updates it in place.
   * @param plan The steps of the run, which say how many predictions must be kept.
   * @throws {ShapeError} when the sample is no such tensor.
   * @throws {UsageError} when a step reads more predictions than there are.
   */
  constructor(scope: Scope, readonly sample: Tensor, plan: readonly SolverStepPlan[]) {
    if (sample.dtype !== "f32" || sample.shape.length !== 4 || sample.size === 0) {
      throw new ShapeError(`Cannot solve for ${sample} as it must be f32 [B, C, h, w] with elements: it is not`);
    }
    plan.forEach((step, index) => {
      const { length } = step.history;
      if (length < 1 || length > index + 1) {
        throw new UsageError(
          `Cannot plan step ${index} of ${sample} as it must have factors for 1 to ${index + 1} predictions: ${length}`,
        );
      }
    });
    // The newest prediction need not be in memory while it is used, so as many slots as the oldest one's age will do.
    this.#slots = Math.max(0, ...plan.map(oldestRead));
    // A kernel cannot bind nothing for writing.
    this.#history = scope.tensor(this.#slots > 0 ? [this.#slots, ...sample.shape] : [1]);
  }

  /**
   * Moves the sample by one step.
   *
   * @param plan The next step of the run.
   * @param output [B, Cout, h, w] f32, or a multiple of B under guidance; its first C channels are the prediction, the C
   * behind them the variance that a `noiseScale` reads.
   * @throws {ShapeError} when the output or the noise does not fit the sample.
   * @throws {UsageError} when the step adds noise and there is none, scales it by a variance that the output has not, or
   * reads more than three predictions beside its own or one that was not kept.
   * @example
   * ```ts ignore
   * const state = new SolverState(scope, latents, plan);
   * for (const step of plan) state.step(rec, step, predict(latents, step), { guidance: { factors: [4.5] } });
   * ```
   */
  step(rec: Recorder, plan: SolverStepPlan, output: Tensor, { guidance, noise }: SolverStepOptions = {}): void {
    const { sample } = this;
    const { factors = [], channels: guided = output.dim(1) } = guidance ?? {};
    this.#check(plan, output, factors.length + 1, plan.noise === 0 ? undefined : noise);
    const [batch, channels, height, width] = sample.shape;
    const item = channels * height * width;
    const prediction = {
      total: sample.size,
      item,
      output_item: output.dim(1) * height * width,
      answers: factors.length + 1,
      guided: guided * height * width,
      guidance1: factors[0] ?? 0,
      guidance2: factors[1] ?? 0,
      convert_sample: plan.convert.sample,
      convert_output: plan.convert.output,
    };
    const { clip, restore, noiseScale } = plan;
    const bound = clip?.kind === "dynamic" ? rec.tensor([batch]) : undefined;
    if (clip?.kind === "dynamic") {
      rec.dispatch(rec.device.kernel(THRESHOLD), {
        bindings: [output, sample, bound],
        params: { ...prediction, ...quantilePlace(item, clip.ratio), max: clip.max },
        groups: [batch],
      });
    }
    rec.dispatch(rec.device.kernel(KERNEL), {
      bindings: [output, bound, plan.noise === 0 ? undefined : noise, sample, this.#history],
      params: {
        ...prediction,
        clip: clip ? (clip.kind === "dynamic" ? 2 : 1) : 0,
        max: clip?.max ?? 0,
        restores: restore ? 1 : 0,
        restore_sample: restore?.sample ?? 0,
        restore_output: restore?.output ?? 1,
        sample: plan.sample,
        h0: plan.history[0],
        writes: this.#slots > 0 ? 1 : 0,
        ...this.#places(plan),
        raw_output: plan.rawOutput ?? 0,
        noise: plan.noise,
        scale: noiseScale ? (noiseScale.kind === "exponential" ? 1 : 2) : 0,
        slope: noiseScale?.kind === "exponential" ? noiseScale.slope : 0,
      },
      groups: linearGroups(Math.ceil(sample.size / 64)),
    });
    bound?.dispose();
    this.#steps++;
  }

  /** Where the step keeps its own prediction, and the factors and slots of the kept ones that it reads. */
  #places(plan: SolverStepPlan): ParamValues {
    const slotOf = (step: number) => this.#slots > 0 ? step % this.#slots : 0;
    const reads = keptReads(plan);
    const places: Record<string, number> = { reads: reads.length, slot0: slotOf(this.#steps) };
    for (let place = 1; place <= MAX_KEPT_READS; place++) {
      const read = reads[place - 1];
      places[`h${place}`] = read?.factor ?? 0;
      places[`slot${place}`] = read ? slotOf(this.#steps - read.age) : 0;
    }
    return places;
  }

  #check(plan: SolverStepPlan, output: Tensor, answers: number, noise: Tensor | undefined): void {
    const { sample } = this;
    const [batch, channels, height, width] = sample.shape;
    const [samples, outChannels, ...size] = output.shape;
    const fits = samples === answers * batch && answers <= MAX_ANSWERS && outChannels >= channels &&
      size[0] === height &&
      size[1] === width && size.length === 2;
    if (output.dtype !== "f32" || !fits) {
      const rule = formatShape([answers * batch, channels, height, width]);
      throw new ShapeError(
        `Cannot step ${sample} by ${output} as the output must be ${rule}, ${answers} of ${MAX_ANSWERS} answers at ` +
          `most, or have more channels: it is not`,
      );
    }
    if (plan.noise !== 0 && !noise) {
      throw new UsageError(`Cannot step ${sample} as this step adds noise: none is given`);
    }
    if (noise && (noise.dtype !== "f32" || noise.shape.join() !== sample.shape.join())) {
      throw new ShapeError(`Cannot step ${sample} as its noise must have its shape: ${noise}`);
    }
    if (plan.noise !== 0 && plan.noiseScale && outChannels < 2 * channels) {
      throw new UsageError(
        `Cannot step ${sample} as its noise is scaled by a variance, so that the output must have ${2 * channels} ` +
          `channels: ${output}`,
      );
    }
    const kept = Math.min(this.#steps, this.#slots);
    const reads = keptReads(plan).length;
    if (plan.history.length < 1 || oldestRead(plan) > kept || reads > MAX_KEPT_READS) {
      throw new UsageError(
        `Cannot step ${sample} as a step reads its own prediction and at most ${MAX_KEPT_READS} of ${kept} kept ones: ` +
          `factors [${plan.history.join(", ")}]`,
      );
    }
  }
}
