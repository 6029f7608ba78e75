// layerNorm: normalisation over the last axis, followed by a modulation of each sample (adaLN) or by learned weights.

import source from "../../shaders/layer_norm.wgsl" with { type: "text" };
import resultHalves from "../../shaders/result_halves.wgsl" with { type: "text" };
import resultLanes from "../../shaders/result_lanes.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { forReduction, lanesOf, reductionFor } from "./lane_kernels.ts";
import { rowRuns } from "./row_runs.ts";

const KERNELS = forReduction({ name: "layer_norm", source, shared: [resultLanes] });
const TO_HALVES = forReduction({ name: "layer_norm", source, shared: [resultHalves] });

/** One row of C floats for each sample, inside a larger table. */
export interface TableRows {
  tensor: Tensor;
  /** Floats from one sample's row to the next one's. */
  stride: number;
  /** Floats before the first sample's row. */
  offset: number;
}

/** What follows the normalisation: a modulation, or learned weights, or nothing. */
export interface LayerNormOptions {
  eps: number;
  /** Added at the end. */
  shift?: TableRows;
  /** The result is multiplied by one plus this. */
  scale?: TableRows;
  /** [C]; the result is multiplied by it. Not together with `scale`. */
  weight?: Tensor;
  /** [C]; added at the end. Not together with `shift`. */
  bias?: Tensor;
  /** Whether the result may be halves, for a matmul that takes such; it is where rows are fours and one binding holds all. */
  halves?: boolean;
  /** Runs the kernel that needs no features; for comparison. */
  portable?: boolean;
}

/** Fails unless a table holds a row of `columns` for each of `samples`. */
function checkRows(x: Tensor, what: string, rows: TableRows, samples: number, columns: number): void {
  const { tensor, stride, offset } = rows;
  if (tensor.dtype !== "f32" || offset + (samples - 1) * stride + columns > tensor.size) {
    throw new ShapeError(
      `Cannot normalize ${x} as its ${what} must hold ${samples} rows of ${columns} floats: ` +
        `${tensor} from ${offset} on, ${stride} apart`,
    );
  }
}

/**
 * Normalises every row of C to mean 0 and variance 1, then scales and shifts it.
 *
 * @param x [B, N, C] f32.
 * @returns [B, N, C] f32 in the recorder's scope; f16 where `halves` allows it.
 * @throws {ShapeError} when a table, a weight or a bias does not hold a row for each sample.
 */
export function layerNorm(rec: Recorder, x: Tensor, options: LayerNormOptions): Tensor {
  if (x.dtype !== "f32" || x.shape.length !== 3 || x.size === 0) {
    throw new ShapeError(`Cannot normalize ${x} as it must be f32 [B, N, C] with elements: it is not`);
  }
  const [samples, rows, columns] = x.shape;
  const { eps, weight, bias } = options;
  const learned = (tensor: Tensor | undefined) => tensor && { tensor, stride: 0, offset: 0 };
  const scale = options.scale ?? learned(weight);
  const shift = options.shift ?? learned(bias);
  if ((weight && options.scale) || (bias && options.shift)) {
    throw new ShapeError(`Cannot normalize ${x} as it has either learned weights or a modulation: both are given`);
  }
  if (scale) checkRows(x, "scale", scale, samples, columns);
  if (shift) checkRows(x, "shift", shift, samples, columns);

  const { device } = rec;
  const isWhole = rowRuns(device, samples * rows, [columns]).length === 1;
  const lanes = lanesOf(columns, ...[scale, shift].flatMap((table) => table ? [table.stride, table.offset] : []));
  const halves = options.halves && isWhole && lanes === 4;
  const { kernels, workers, rows: rowsPerGroup } = reductionFor(device, halves ? TO_HALVES : KERNELS, options.portable);
  const constants = { WORKERS: workers, ROWS: rowsPerGroup, HAS_SCALE: !!scale, HAS_SHIFT: !!shift };
  const kernel = device.kernel(kernels[lanes], constants);
  const y = rec.tensor(x.shape, halves ? "f16" : "f32");
  const normalize = (x: Tensor, y: Tensor, samples: number, rows: number, firstSample: number) => {
    const groupsPerSample = Math.ceil(rows / rowsPerGroup);
    const start = (table: TableRows | undefined) => table ? table.offset + firstSample * table.stride : 0;
    rec.dispatch(kernel, {
      bindings: [x, scale?.tensor, shift?.tensor, y],
      params: {
        samples,
        rows,
        columns,
        groups_per_sample: groupsPerSample,
        scale_offset: start(scale),
        scale_stride: scale?.stride ?? 0,
        shift_offset: start(shift),
        shift_stride: shift?.stride ?? 0,
        one: weight ? 0 : 1,
        eps,
      },
      groups: linearGroups(samples * groupsPerSample),
    });
  };
  if (isWhole) normalize(x, y, samples, rows, 0);
  else {
    for (let sample = 0; sample < samples; sample++) {
      for (const { first, count } of rowRuns(device, rows, [columns])) {
        const part = (tensor: Tensor) => tensor.view([count, columns], (sample * rows + first) * columns);
        normalize(part(x), part(y), 1, count, sample);
      }
    }
  }
  return y;
}
