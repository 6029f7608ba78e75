// Guidance: how several answers of the model become one prediction. In: which captions each sample is asked with. Out: the
// factors by which the answers are mixed, which the solver's kernel applies.

import { IDDPM } from "../schedulers/original_iddpm.ts";
import type { Scheduler, StepPlan } from "../schedulers/scheduler.ts";

/** A caption of a sample: what the picture shall show, or what it shall not. */
export type CaptionKind = "negative" | "prompt";

/** How the model is asked for one prediction. */
export interface Guidance {
  /** What each sample is asked with, one to three captions; the model's batch has all samples of the first, then of the next. */
  readonly captions: readonly CaptionKind[];
  /** Whether negatives are masked as the prompts they go with are, which is what the original repository does. */
  readonly sharesMask?: boolean;
  /** How many of the channels are guided, all when not given; those behind keep the last caption's answer. */
  readonly channels?: number;
  /** Blocks whose self-attention is perturbed for the last caption. */
  readonly perturbedBlocks?: ReadonlySet<number>;
  /**
   * The mix at a step: with the answers a0, a1, a2 the prediction is a0 + factors[0] * (a1 - a0) + factors[1] * (a2 - a0).
   *
   * @returns One factor fewer than captions.
   */
  factors(step: StepPlan): readonly number[];
}

/** No guidance: the prompt's answer is the prediction. */
export const UNGUIDED: Guidance = { captions: ["prompt"], factors: () => [] };

/**
 * Classifier-free guidance (arXiv 2207.12598): away from the negative's answer, towards the prompt's and past it.
 *
 * @param scale How far; at 1 the negative is without effect.
 * @example
 * ```ts
 * import { classifierFree } from "./guidance.ts";
 * console.assert(classifierFree(4.5).captions.join() === "negative,prompt");
 * ```
 */
export function classifierFree(scale: number): Guidance {
  return { captions: ["negative", "prompt"], factors: () => [scale] };
}

/** Whose classifier-free guidance: each repository has its own, and the pictures differ. */
export type GuidanceVariant = "diffusers" | "original";

/** The channels that the original's IDDPM guides: a habit from when pictures were denoised, which have three. */
const ORIGINAL_CHANNELS = 3;

/**
 * Classifier-free guidance as the original repository has it: the negative takes the prompt's mask.
 *
 * @param scale How far.
 * @param scheduler The original's IDDPM guides only the first three channels; its other samplers guide all.
 */
export function originalGuidance(scale: number, scheduler: Scheduler): Guidance {
  const channels = scheduler instanceof IDDPM ? ORIGINAL_CHANNELS : undefined;
  return { ...classifierFree(scale), sharesMask: true, ...(channels && { channels }) };
}
