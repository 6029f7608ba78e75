// Perturbed attention (arXiv 2403.17377): the last samples of a batch attend to nothing but themselves, so that what attention gives
// them is their own values. In: values, and what attends. Out: the attention of the first samples with the values of the last.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { Heads } from "../ops/attention.ts";
import { crop } from "../ops/tile.ts";

/** The extent of an attention whose last samples are perturbed. */
export interface PerturbedExtent {
  batch: number;
  /** N, tokens a sample. */
  tokens: number;
  /** H D, all heads together. */
  width: number;
  /** How many of the last samples keep their values. */
  perturbed: number;
}

/**
 * Attention whose score matrix is the identity for the last samples.
 *
 * @param values Of every token of every sample.
 * @param attend Attention over the first samples, so many of them: [B', N, H D].
 * @returns [B, N, H D] f32 in the recorder's scope.
 */
export function perturbedAttention(
  rec: Recorder,
  { tensor, stride, offset }: Heads,
  { batch, tokens, width, perturbed }: PerturbedExtent,
  attend: (samples: number) => Tensor,
): Tensor {
  if (perturbed === 0) return attend(batch);
  return rec.scoped(() => {
    const y = rec.tensor([batch, tokens, width]);
    const attending = batch - perturbed;
    if (attending > 0) rec.copy(rec.scoped(() => attend(attending)), y.view([attending, tokens, width]));
    // Values that stand beside queries and keys are cut out: all at once, or by the sample where they are too many to bind.
    const fits = tensor.bytes <= rec.device.limits.maxStorageBufferBindingSize;
    const step = fits ? perturbed : 1;
    const parts = stride / width, left = offset / width;
    for (let sample = attending; sample < batch; sample += step) {
      const height = step * tokens;
      const rows = fits
        ? { image: tensor.view([1, batch * tokens, parts, width]), top: sample * tokens }
        : { image: tensor.view([1, tokens, parts, width], sample * tokens * stride), top: 0 };
      const kept = parts === 1
        ? tensor.view([height, width], sample * tokens * width)
        : crop(rec, rows.image, { top: rows.top, left, height, width: 1 });
      rec.copy(kept, y.view([height, width], sample * tokens * width));
    }
    return y;
  });
}
