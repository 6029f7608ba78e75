// groupNorm: normalisation of groups of channels over a whole image, and the SiLU that usually follows.

import applySource from "../../shaders/group_norm_apply.wgsl" with { type: "text" };
import mergeSource from "../../shaders/group_norm_merge.wgsl" with { type: "text" };
import partialSource from "../../shaders/group_norm_partial.wgsl" with { type: "text" };
import resultHalves from "../../shaders/result_halves.wgsl" with { type: "text" };
import resultLanes from "../../shaders/result_lanes.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { forLanes, forReduction, lanesOf, reductionFor } from "./lane_kernels.ts";
import { rowRuns } from "./row_runs.ts";

const PARTIAL = forLanes({ name: "group_norm_partial", source: partialSource });
const MERGE = forReduction({ name: "group_norm_merge", source: mergeSource });
const APPLY = forLanes({ name: "group_norm_apply", source: applySource, shared: [resultLanes] });
const APPLY_TO_HALVES = forLanes({ name: "group_norm_apply", source: applySource, shared: [resultHalves] });

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
  /**
   * Whether the result may be halves, for a convolution or a matmul that takes such; it is where channels are fours and one binding
   * holds all. They need no divisor: a normalised number is at most the root of how many its group has, 2,048 for 1024 x 1024
   * pixels by 4 channels.
   */
  halves?: boolean;
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
 * @returns [B, H, W, C] f32 in the recorder's scope; where `halves` allows it, [B * H * W + 1, C] f16 with zeros in the last pixel.
 * @throws {ShapeError} when the channels do not divide into the groups, or weight and bias are not [C].
 */
export function groupNorm(rec: Recorder, x: Tensor, options: GroupNormOptions): Tensor {
  const { groups, weight, bias } = options;
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
  const isWhole = rowRuns(rec.device, x.size, [1]).length === 1;
  const halves = options.halves && isWhole && lanesOf(columns) === 4;
  const y = halves ? rec.tensor([samples * height * width + 1, columns], "f16") : rec.tensor(x.shape);
  if (isWhole) normalize(rec, x, y, options);
  else {
    // A sample at a time, so that its factors start where a binding may.
    for (let sample = 0; sample < samples; sample++) {
      const of = (image: Tensor) => image.view([1, height, width, columns], sample * height * width * columns);
      normalize(rec, of(x), of(y), options);
    }
  }
  return y;
}

/** Normalises images into `y`; a single one of any size, several where a binding holds all. */
function normalize(rec: Recorder, x: Tensor, y: Tensor, options: GroupNormOptions): void {
  const { groups, eps, weight, bias, silu = false } = options;
  const { device } = rec;
  const [samples, height, width, columns] = x.shape;
  const pixels = height * width;
  const run_length = runLength(pixels);
  const runs = Math.ceil(pixels / run_length);
  const lanes = lanesOf(columns);
  using _scope = rec.scope();
  const moments = rec.tensor([samples, runs, columns, 2]);
  const factors = rec.tensor([samples, 2, columns]);
  // Parts of an image are whole runs of pixels.
  const parts = samples > 1 ? [{ first: 0, count: runs }] : rowRuns(device, runs, [run_length * columns, 2 * columns]);
  const forParts = (kernel: Kernel, bindings: (pixels: number[], runs: number[]) => (Tensor | undefined)[]) => {
    for (const { first, count } of parts) {
      const start = first * run_length, length = Math.min(count * run_length, pixels - start);
      rec.dispatch(kernel, {
        bindings: bindings([start, length], [first, count]),
        params: { samples, pixels: length, columns, runs: count, run_length },
        groups: linearGroups(Math.ceil(samples * count * columns / lanes / 64)),
      });
    }
  };
  const part = (tensor: Tensor, [first, count]: number[], width: number) =>
    tensor.view([samples * count, width], first * width);
  forParts(
    device.kernel(PARTIAL[lanes]),
    (pixels, runs) => [part(x, pixels, columns), part(moments, runs, 2 * columns)],
  );
  const { kernels, workers } = reductionFor(device, MERGE, options.portable);
  rec.dispatch(device.kernel(kernels[lanes], { WORKERS: workers }), {
    bindings: [moments, weight, factors],
    params: { pixels, columns, groups, runs, run_length, eps },
    groups: [groups, samples],
  });
  const halves = y.dtype === "f16";
  forParts(
    device.kernel((halves ? APPLY_TO_HALVES : APPLY)[lanes], { SILU: silu, PADDED: halves }),
    (pixels) => [part(x, pixels, columns), factors, bias, halves ? y : part(y, pixels, columns)],
  );
}
