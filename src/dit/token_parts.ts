// The image tokens of a batch, in as many tensors as it takes for each to fit a binding: one where all fit, else some rows of one
// sample each, so that neither the tokens nor what a layer makes of them exist in one buffer. In: how many there are. Out: parts.

import type { MemoryLimits } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { TableRows } from "../ops/layer_norm.ts";
import type { TransformerConfig } from "./config.ts";

/** Where some tokens stand in the batch. */
export interface TokenPlace {
  /** The first sample, and how many samples there are. */
  sample: number;
  samples: number;
  /** The first token in the sample, and how many tokens there are. */
  first: number;
  count: number;
}

/** Some tokens. */
export interface TokenPart extends TokenPlace {
  /** [samples, count, C] f32. */
  x: Tensor;
}

/**
 * Cuts the tokens of a batch.
 *
 * @param extent Samples, and tokens of each.
 * @param widest Floats of the widest row that a layer makes of a token.
 * @param grain What the starts of parts are multiples of; a part is longer than a binding rather than shorter than this.
 * @returns One place where all fit; else places in a single sample each, about equally long.
 */
export function tokenPlaces(
  { maxStorageBufferBindingSize }: MemoryLimits,
  [samples, tokens]: readonly [number, number],
  widest: number,
  grain: number,
): TokenPlace[] {
  const most = Math.floor(maxStorageBufferBindingSize / 4 / widest);
  if (samples * tokens <= most) return [{ sample: 0, samples, first: 0, count: tokens }];
  // Equal lengths, so that buffers are used again.
  const parts = Math.ceil(tokens / Math.max(grain, most - most % grain));
  const length = Math.ceil(tokens / parts / grain) * grain;
  return Array.from({ length: samples }, (_, sample) =>
    Array.from({ length: Math.ceil(tokens / length) }, (_, i) => ({
      sample,
      samples: 1,
      first: i * length,
      count: Math.min(length, tokens - i * length),
    }))).flat();
}

/**
 * Where the transformer cuts the tokens of a batch.
 *
 * @param extent Samples, and tokens of each.
 * @param gridWidth Tokens in a row of the grid.
 */
export function transformerPlaces(
  limits: MemoryLimits,
  { numAttentionHeads, attentionHeadDim, kvCompression }: TransformerConfig,
  extent: readonly [samples: number, tokens: number],
  gridWidth: number,
): TokenPlace[] {
  const hidden = 4 * numAttentionHeads * attentionHeadDim; // of the feed-forward networks
  return tokenPlaces(limits, extent, hidden, (kvCompression?.scaleFactor ?? 1) * gridWidth);
}

/** The rows of a place: a view that need not begin where a binding may. */
export function rowsAt(tensor: Tensor, { sample, samples, first, count }: TokenPlace): Tensor {
  const [, tokens, width] = tensor.shape;
  return tensor.view([samples, count, width], (sample * tokens + first) * width);
}

/** The modulation rows of a part's samples. */
export function modulationOf({ sample }: TokenPlace, rows: readonly TableRows[]): TableRows[] {
  return rows.map((row) => ({ ...row, offset: row.offset + sample * row.stride }));
}
