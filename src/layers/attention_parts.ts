// Self-attention over tokens that are too many for a binding: each part's queries go over the keys of all parts of its sample. In: the
// parts of a batch. Out: whole samples, or their parts sample by sample.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { LinearOptions } from "./linear.ts";

/** All tokens of a batch, or some tokens of one sample. */
export interface AttentionPart {
  /** The first sample. */
  sample: number;
  /** Makes [B, N, C] in the recorder's scope; the same each time. */
  x(): Tensor;
  /** What is fused behind the last linear layer, with the residual that the result is added to. */
  out: LinearOptions & { addTo: Tensor };
}

/** How a layer attends. */
export interface AttendParts {
  /** All samples at once, the last so many of them perturbed. */
  whole(x: Tensor, perturbed: number, out: LinearOptions): void;
  /** One sample in parts. */
  inParts(parts: readonly AttentionPart[], perturbed: boolean): void;
}

/**
 * Attends, in place.
 *
 * @param perturbed How many of the last samples keep their own values.
 */
export function attendParts(
  rec: Recorder,
  parts: readonly AttentionPart[],
  perturbed: number,
  { whole, inParts }: AttendParts,
): void {
  const samples = Map.groupBy(parts, ({ sample }) => sample);
  for (const [sample, ofSample] of samples) {
    using _scope = rec.scope();
    if (parts.length === 1) whole(parts[0].x(), perturbed, parts[0].out);
    else inParts(ofSample, sample >= samples.size - perturbed);
  }
}
