// Perturbed-attention guidance, PAG (arXiv 2403.17377): away from what the model says when some of its layers do not attend. In: another
// guidance, and which layers. Out: a guidance that asks with the prompt once more, where those layers are perturbed.

import { UsageError } from "../errors.ts";
import type { StepPlan } from "../schedulers/scheduler.ts";
import type { Guidance } from "./guidance.ts";

/**
 * Self-attention layers by name, such as `transformer_blocks.1.attn1`: a regular expression that matches a part of it. In one that is
 * given as a string a number matches as a whole, so that `blocks.1` is the second block; `/blocks.1/` is what diffusers makes of it,
 * and the blocks 1 and 10 to 19.
 */
export type LayerPattern = string | RegExp;

/** Options of perturbed-attention guidance; names are diffusers'. */
export interface PagOptions {
  /** How far away from the perturbed answer; 0 is without. */
  pagScale?: number;
  /** By how much less with each training step that the time is below 1000, down to 0. */
  pagAdaptiveScale?: number;
  /** The layers that are perturbed. */
  pagAppliedLayers?: LayerPattern | readonly LayerPattern[];
}

const DEFAULT_LAYERS = "blocks.1";
const TRAINING_STEPS = 1000;

/**
 * The blocks whose self-attention a pattern names.
 *
 * @param blocks How many blocks the transformer has.
 * @throws {UsageError} when a pattern is no regular expression, or names no layer.
 * @example
 * ```ts
 * import { perturbedBlocks } from "./pag.ts";
 * console.assert([...perturbedBlocks("blocks.(4|17)", 28)].join() === "4,17");
 * console.assert(perturbedBlocks("blocks.1", 28).size === 1 && perturbedBlocks(/blocks.1/, 28).size === 11);
 * ```
 */
export function perturbedBlocks(patterns: PagOptions["pagAppliedLayers"], blocks: number): ReadonlySet<number> {
  const list = patterns instanceof Array ? patterns : [patterns ?? DEFAULT_LAYERS];
  if (list.length === 0) throw new UsageError("Cannot perturb attention as there must be a layer: none is named");
  return new Set(list.flatMap((pattern) => {
    const expression = expressionOf(pattern);
    const found = Array.from({ length: blocks }, (_, i) => i)
      .filter((i) => `transformer_blocks.${i}.attn1`.search(expression) >= 0);
    if (found.length > 0) return found;
    throw new UsageError(
      `Cannot perturb layers ${pattern} as one of transformer_blocks.0.attn1 to transformer_blocks.${
        blocks - 1
      }.attn1 ` +
        "must match: none does",
    );
  }));
}

function expressionOf(pattern: LayerPattern): RegExp {
  if (pattern instanceof RegExp) return pattern;
  if (typeof pattern !== "string") {
    throw new UsageError(`Cannot perturb layer ${pattern} as it must be named by a string or a regular expression`);
  }
  try {
    return new RegExp(`(?:${pattern})(?!\\d)`);
  } catch (error) {
    throw new UsageError(`Cannot perturb layers ${pattern} as they must be a regular expression: it is none`, {
      cause: error,
    });
  }
}

/**
 * Adds perturbed-attention guidance: with the prompt's answer c and the perturbed one p, the prediction gets + s (c - p).
 *
 * @param guidance What is added to; as it is when the scale is 0.
 * @param blocks How many blocks the transformer has.
 * @throws {UsageError} when a scale is negative, no layer is named, or the guidance leaves channels unguided.
 */
export function perturbed(guidance: Guidance, options: PagOptions, blocks: number): Guidance {
  const { pagScale = 0, pagAdaptiveScale = 0, pagAppliedLayers } = options;
  for (const [name, value] of Object.entries({ pagScale, pagAdaptiveScale })) {
    if (!(value >= 0 && value < Infinity)) {
      throw new UsageError(`Cannot guide as ${name} must be a number from 0 on: ${value}`);
    }
  }
  if (pagScale === 0) return guidance;
  if (guidance.channels !== undefined) {
    throw new UsageError(
      `Cannot perturb attention as all channels must be guided: this guidance is of ${guidance.channels}`,
    );
  }
  const scaleAt = ({ timestep }: StepPlan) => Math.max(0, pagScale - pagAdaptiveScale * (TRAINING_STEPS - timestep));
  return {
    ...guidance,
    captions: [...guidance.captions, "prompt"],
    perturbedBlocks: perturbedBlocks(pagAppliedLayers, blocks),
    factors(step) {
      const scale = scaleAt(step), factors = guidance.factors(step);
      // The prompt's answer is the last of the others; factors are for differences from the first.
      return [...factors.slice(0, -1), ...factors.slice(-1).map((factor) => factor + scale), -scale];
    },
  };
}
