// Rows that are too many for a binding go through a layer in parts, so that what it makes on the way exists for some rows at a time.
// In: tokens, and where a layer's result goes. Out: the parts of each sample with their places.

import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { rowRuns } from "../ops/row_runs.ts";
import type { LinearOptions } from "./linear.ts";

/** Some rows of one sample. */
export interface RowPart {
  /** [1, rows, C] */
  x: Tensor;
  sample: number;
  /** What is fused behind the layer, for these rows. */
  out: LinearOptions;
}

/**
 * Cuts the rows of tokens into parts, so long that a binding holds the widest rows that a layer makes of one.
 *
 * @param x [B, N, C] f32.
 * @param widest Floats of such a row.
 * @param out What is fused behind the layer.
 * @param multiple What the starts of parts are whole multiples of.
 * @returns The parts of each sample; nothing where all rows fit, or where the result is not added to a residual alone.
 */
export function rowParts(
  device: Device,
  x: Tensor,
  widest: number,
  out: LinearOptions,
  multiple = 1,
): RowPart[][] | undefined {
  const { addTo, gate, multiply } = out;
  if (!addTo || multiply || rowRuns(device, x.size / x.dim(-1), [widest]).length <= 1) return undefined;
  const [batch, tokens, width] = x.shape;
  return Array.from(
    { length: batch },
    (_, sample) =>
      rowRuns(device, tokens, [widest, width], multiple).map(({ first, count }) => {
        const of = (tensor: Tensor) =>
          tensor.view([1, count, tensor.dim(-1)], (sample * tokens + first) * tensor.dim(-1));
        const rows = { addTo: of(addTo), gate: gate && { ...gate, offset: gate.offset + sample * gate.stride } };
        return { x: of(x), sample, out: { ...out, ...rows } };
      }),
  );
}
