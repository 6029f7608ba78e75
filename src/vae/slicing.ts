// Going through a network sample by sample. In: a batch. Out: what the whole batch gives, in the memory of one sample.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

/**
 * Takes each sample of a batch through a network alone.
 *
 * @param x [B, ..]
 * @param network Takes one: [1, ..] -> [1, ..].
 * @returns [B, ..] in the recorder's scope.
 */
export function sliced(rec: Recorder, x: Tensor, network: (one: Tensor) => Tensor): Tensor {
  const [batch, ...sample] = x.shape;
  if (batch === 1) return network(x);
  const size = x.size / batch;
  const resultAt = (index: number) =>
    rec.scoped(() => {
      const one = rec.tensor([1, ...sample]); // a view would not begin where a binding may
      rec.copy(x.view(one.shape, index * size), one);
      return network(one);
    });
  let results: Tensor | undefined;
  for (let index = 0; index < batch; index++) {
    const result = resultAt(index);
    results ??= rec.tensor([batch, ...result.shape.slice(1)]);
    rec.copy(result, results.view(result.shape, index * result.size));
    result.dispose();
  }
  return results!;
}
