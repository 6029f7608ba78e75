// groupNorm: normalisation of groups of channels over a whole image, and the SiLU that usually follows.

import applySource from "../../shaders/group_norm_apply.wgsl" with { type: "text" };
import mergeSource from "../../shaders/group_norm_merge.wgsl" with { type: "text" };
import partialSource from "../../shaders/group_norm_partial.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { forLanes, forReduction, lanesOf, reductionFor } from "./lane_kernels.ts";

const PARTIAL = forLanes({ name: "group_norm_partial", source: partialSource });
const MERGE = forReduction({ name: "group_norm_merge", source: mergeSource });
const APPLY = forLanes({ name: "group_norm_apply", source: applySource });

/** What a group norm is made of. */
export interface GroupNormOptions {
  groups: number;
  eps: number;
  /** [C] f32. */
  weight: Tensor;
  /** [C] f32. */
  bias: Tensor;
  /** Whether SiLU follows. */
  silu?: boolean;
  /** Runs the kernels that need no features; for comparison. */
  portable?: boolean;
}

/**
 * Pixels that one invocation takes: few enough to busy a GPU on a small image, and so many on a large one that the moments of
 * all runs stay small beside the image.
 */
function runLength(pixels: number): number {
  return Math.min(256, Math.max(16, Math.ceil(pixels / 512)));
}

/**
 * Normalises each group of channels of each image to mean 0 and variance 1, then applies the learned weight and bias.
 *
 * @param x [B, H, W, C] f32.
 * @returns [B, H, W, C] f32 in the recorder's scope.
 * @throws {ShapeError} when the channels do not divide into the groups, or weight and bias are not [C].
 */
export function groupNorm(rec: Recorder, x: Tensor, options: GroupNormOptions): Tensor {
  const { groups, eps, weight, bias, silu = false } = options;
  if (x.dtype !== "f32" || x.shape.length !== 4 || x.size === 0) {
    throw new ShapeError(`Cannot normalize ${x} as it must be f32 [B, H, W, C] with elements: it is not`);
  }
  const [samples, height, width, columns] = x.shape;
  if (columns % groups !== 0) {
    throw new ShapeError(`Cannot normalize ${x} as its channels must divide into ${groups} groups: ${columns}`);
  }
  if (weight.size !== columns || bias.size !== columns || weight.dtype !== "f32" || bias.dtype !== "f32") {
    throw new ShapeError(`Cannot normalize ${x} as weight and bias must be f32[${columns}]: ${weight} and ${bias}`);
  }
  const { device } = rec;
  const pixels = height * width;
  const run_length = runLength(pixels);
  const runs = Math.ceil(pixels / run_length);
  const lanes = lanesOf(columns);
  const invocations = linearGroups(Math.ceil(samples * runs * columns / lanes / 64));
  const y = rec.tensor(x.shape);
  using scope = rec.scope();
  const moments = rec.tensor([samples, runs, columns, 2]);
  const factors = rec.tensor([samples, 2, columns]);
  rec.dispatch(device.kernel(PARTIAL[lanes]), {
    bindings: [x, moments],
    params: { samples, pixels, columns, runs, run_length },
    groups: invocations,
  });
  const { kernels, workers } = reductionFor(device, MERGE, options.portable);
  rec.dispatch(device.kernel(kernels[lanes], { WORKERS: workers }), {
    bindings: [moments, weight, factors],
    params: { pixels, columns, groups, runs, run_length, eps },
    groups: [groups, samples],
  });
  rec.dispatch(device.kernel(APPLY[lanes], { SILU: silu }), {
    bindings: [x, factors, bias, y],
    params: { samples, pixels, columns, runs, run_length },
    groups: invocations,
  });
  scope.dispose();
  return y;
}
