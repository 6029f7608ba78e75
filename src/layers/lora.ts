// The arithmetic of LoRA and DoRA on rows of weights. In: rows [R, K] of a weight as the checkpoint has them, and the LoRAs that
// apply to it. Out: the same rows with all of them in.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { LoraUpdate } from "../io/lora_file.ts";
import { dora } from "../ops/dora.ts";
import { matmul } from "../ops/matmul.ts";

/** A LoRA of one weight, and how strongly it applies. */
export interface LoraStep {
  update: LoraUpdate;
  scale: number;
}

/** Holds a tensor until the recorded work is submitted. */
type Keep = (tensor: Tensor) => Tensor;

/** Adds scale * scaling * up down to rows [first, first + R) of a weight. */
function addProduct(rec: Recorder, rows: Tensor, { update, scale }: LoraStep, first: number, keep: Keep): void {
  const { device } = rec;
  const [count, depth] = rows.shape;
  const { rank, scaling } = update;
  const up = update.up.slice(first * rank, (first + count) * rank);
  for (let i = 0; i < up.length; i++) up[i] *= scale * scaling;
  // `down` is the transpose of a linear layer's weight as it is, save that packed columns come in fours.
  const packed = Math.ceil(depth / 4) * 4;
  let down = update.down;
  if (packed !== depth) {
    down = new Float32Array(rank * packed);
    for (let r = 0; r < rank; r++) down.set(update.down.subarray(r * depth, (r + 1) * depth), r * packed);
  }
  const w = keep(device.upload(down, [rank, packed], "LoRA down"));
  matmul(rec, keep(device.upload(up, [count, rank], "LoRA up")), w, { addTo: rows, columns: depth });
}

/**
 * Applies LoRAs to rows of a weight W, one after another. As in PEFT, one of them makes W + D with D = scale * scaling * up down;
 * a DoRA makes m (W + D) / |W0 + D| row by row, where W0 is the weight before the first of them, whatever came between.
 *
 * @param rows [R, K] f32, changed in place.
 * @param first The row of the weight that the first of them is.
 * @param keep Holds a tensor until the recorded work is submitted, and frees it then.
 */
export function applyLoras(rec: Recorder, rows: Tensor, steps: readonly LoraStep[], first: number, keep: Keep): void {
  const { device } = rec;
  const copyOf = (from: Tensor): Tensor => {
    const copy = keep(device.tensor(rows.shape, "f32", "LoRA rows"));
    rec.copy(from, copy);
    return copy;
  };
  const base = steps.slice(1).some(({ update }) => update.magnitude) ? copyOf(rows) : undefined;
  for (const [index, step] of steps.entries()) {
    addProduct(rec, rows, step, first, keep);
    const { magnitude } = step.update;
    if (!magnitude) continue;
    const count = rows.dim(0);
    const lengths = keep(device.upload(magnitude.slice(first, first + count), [count], "DoRA magnitude"));
    const direction = index > 0 ? copyOf(base!) : undefined;
    if (direction) addProduct(rec, direction, step, first, keep);
    dora(rec, rows, lengths, direction);
  }
}
