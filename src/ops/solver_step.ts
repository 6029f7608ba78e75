// solverStep: a scheduler's plan, carried out on the GPU. In: the model's output of each step. Out: the sample, stepped in place.
// Guidance, the drop of the learned variance, clipping and the step itself are one dispatch.

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
const MAX_HISTORY = 4;

/** The part of a scheduler's step plan that moves the sample; `StepPlan` says what each number means. */
export interface SolverStepPlan {
  convert: { sample: number; output: number };
  clip?: { kind: "dynamic"; ratio: number; max: number } | { kind: "range"; max: number };
  restore?: { sample: number; output: number };
  sample: number;
  history: readonly number[];
  noise: number;
}

/** What a step takes beside the model's output. */
export interface SolverStepOptions {
  /** When given, the output holds the unconditional predictions and then the conditional ones. */
  guidanceScale?: number;
  /** [B, C, h, w] standard normal numbers; read only where the plan adds noise. */
  noise?: Tensor;
}

/** Where the quantile lies in a sorted row: `torch.quantile` works it out in f32, and so it must be here. */
function quantilePlace(count: number, ratio: number): { rank: number; weight: number } {
  const place = Math.fround(Math.fround(ratio) * (count - 1));
  const rank = Math.min(Math.max(Math.floor(place), 0), count - 1);
  return { rank, weight: rank === count - 1 ? 0 : place - rank };
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
    plan.forEach(({ history }, step) => {
      const limit = Math.min(step + 1, MAX_HISTORY);
      if (history.length < 1 || history.length > limit) {
        throw new UsageError(
          `Cannot plan step ${step} of ${sample} as it must read 1 to ${limit} predictions: ${history.length}`,
        );
      }
    });
    // The newest prediction need not be in memory while it is used, so one slot less than the longest history will do.
    this.#slots = Math.max(0, ...plan.map(({ history }) => history.length - 1));
    // A kernel cannot bind nothing for writing.
    this.#history = scope.tensor(this.#slots > 0 ? [this.#slots, ...sample.shape] : [1]);
  }

  /**
   * Moves the sample by one step.
   *
   * @param plan The next step of the run.
   * @param output [B, Cout, h, w] f32, or [2 B, Cout, h, w] under guidance; its first C channels are the prediction.
   * @throws {ShapeError} when the output or the noise does not fit the sample.
   * @throws {UsageError} when the step adds noise and there is none, or reads predictions that were not kept.
   * @example
   * ```ts ignore
   * const state = new SolverState(scope, latents, plan);
   * for (const step of plan) state.step(rec, step, predict(latents, step), { guidanceScale: 4.5 });
   * ```
   */
  step(rec: Recorder, plan: SolverStepPlan, output: Tensor, { guidanceScale, noise }: SolverStepOptions = {}): void {
    const { sample } = this;
    const guided = guidanceScale !== undefined;
    this.#check(plan, output, guided, plan.noise === 0 ? undefined : noise);
    const [batch, channels, height, width] = sample.shape;
    const item = channels * height * width;
    const prediction = {
      total: sample.size,
      item,
      output_item: output.dim(1) * height * width,
      guided: guided ? 1 : 0,
      guidance: guidanceScale ?? 0,
      convert_sample: plan.convert.sample,
      convert_output: plan.convert.output,
    };
    const { clip, restore, history } = plan;
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
        reads: history.length,
        writes: this.#slots > 0 ? 1 : 0,
        ...this.#places(history),
        noise: plan.noise,
      },
      groups: linearGroups(Math.ceil(sample.size / 64)),
    });
    bound?.dispose();
    this.#steps++;
  }

  /** The factor and the slot of the newest prediction and of the three before it. */
  #places(history: readonly number[]): ParamValues {
    const places: Record<string, number> = {};
    for (let age = 0; age < MAX_HISTORY; age++) {
      const step = this.#steps - age;
      places[`h${age}`] = history[age] ?? 0;
      places[`slot${age}`] = this.#slots > 0 && step >= 0 ? step % this.#slots : 0;
    }
    return places;
  }

  #check(plan: SolverStepPlan, output: Tensor, guided: boolean, noise: Tensor | undefined): void {
    const { sample } = this;
    const [batch, channels, height, width] = sample.shape;
    const [samples, outChannels, ...size] = output.shape;
    const fits = samples === (guided ? 2 : 1) * batch && outChannels >= channels && size[0] === height &&
      size[1] === width && size.length === 2;
    if (output.dtype !== "f32" || !fits) {
      const rule = formatShape([guided ? 2 * batch : batch, channels, height, width]);
      throw new ShapeError(
        `Cannot step ${sample} by ${output} as the output must be ${rule}${guided ? " under guidance" : ""}, or have ` +
          `more channels: it is not`,
      );
    }
    if (plan.noise !== 0 && !noise) {
      throw new UsageError(`Cannot step ${sample} as this step adds noise: none is given`);
    }
    if (noise && (noise.dtype !== "f32" || noise.shape.join() !== sample.shape.join())) {
      throw new ShapeError(`Cannot step ${sample} as its noise must have its shape: ${noise}`);
    }
    const kept = Math.min(this.#steps, this.#slots);
    if (plan.history.length < 1 || plan.history.length - 1 > kept) {
      throw new UsageError(
        `Cannot step ${sample} as a step reads its own prediction and at most ${kept} kept ones: ${plan.history.length} in all`,
      );
    }
  }
}
