// A batch that is painted in parts. In: what belongs to all of it. Out: what belongs to a part, and all of it again.

import { ShapeError } from "../errors.ts";
import { formatShape, Tensor } from "../gpu/tensor.ts";
import type { Decoded } from "./decoding.ts";
import type { GenerateOptions, HostTensor, StepInfo } from "./generate_options.ts";
import type { BatchPart } from "./noise_source.ts";
import { StepClock } from "./step_clock.ts";

/** @throws {ShapeError} when latents are of another shape. */
export function checkLatents({ shape }: Tensor | HostTensor, wanted: readonly number[]): void {
  if (shape.join() === wanted.join()) return;
  throw new ShapeError(`Cannot start from latents ${formatShape(shape)} as they must be ${formatShape(wanted)}`);
}

/** The samples of a part, [count, ...], of those of a batch, [batch, ...]. */
export function samplesOf<T extends Tensor | HostTensor>(
  all: T,
  { start, count, batch }: BatchPart,
): Tensor | HostTensor {
  const shape = [count, ...all.shape.slice(1)];
  const size = shape.slice(1).reduce((product, extent) => product * extent, 1);
  if (all instanceof Tensor) return count === batch ? all : all.view(shape, start * size);
  return { data: all.data.subarray(start * size, (start + count) * size), shape };
}

/** The numbers of all parts, one behind the other; nothing where they are pictures. */
export function joined(parts: readonly Decoded[]): HostTensor | undefined {
  const outputs = parts.map(({ output }) => output).filter((output) => output !== undefined);
  if (outputs.length <= 1) return outputs[0];
  const data = new Float32Array(outputs.reduce((sum, { data }) => sum + data.length, 0));
  let at = 0;
  for (const output of outputs) {
    data.set(output.data, at);
    at += output.data.length;
  }
  const samples = outputs.reduce((sum, { shape }) => sum + shape[0], 0);
  return { data, shape: [samples, ...outputs[0].shape.slice(1)] };
}

/**
 * Tells of the steps of all parts as of one run.
 *
 * @param steps Of each part.
 * @param batch Samples of all parts.
 * @returns To be called after each step of a part. A part that was begun anew with fewer samples is told of anew.
 */
export function teller(
  steps: number,
  batch: number,
  onStep: GenerateOptions["onStep"],
): (info: StepInfo, part: BatchPart) => Promise<void> {
  const clock = new StepClock();
  let before = 0, last: BatchPart | undefined;
  return async (info, part) => {
    if (last && part.start > last.start) before += steps;
    last = part;
    const left = Math.ceil((batch - part.start) / part.count);
    const all = before + left * steps, step = before + info.step;
    await onStep?.({ ...info, step, steps: all, secondsLeft: clock.left(step - 1, all) });
  };
}
