// rowRuns: a binding holds only so many bytes, 128 MiB by WebGPU's default, which is 8,000 tokens of a wide layer. Ops over more rows
// go by runs of rows, each a view of the tensors. In: rows and their widths. Out: runs.

import type { Device } from "../gpu/device.ts";

/** Rows from `first` on. */
export interface RowRun {
  first: number;
  count: number;
}

const ALIGNED = 64; // floats: bindings start on whole 256 bytes

function greatestDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestDivisor(b, a % b);
}

/** Rows of a result with the rows of the input that they are made of. */
export interface Band extends RowRun {
  /** The first input row that is bound, and how many are. */
  from: number;
  height: number;
}

/** How many floats a binding holds. */
function bindingFloats(device: Device): number {
  return Math.floor(device.limits.maxStorageBufferBindingSize / 4);
}

/** How many rows lie between two that start on the alignment of bindings, whatever the width. */
export function alignedRows(...widths: number[]): number {
  return widths.map((width) => ALIGNED / greatestDivisor(ALIGNED, width)).reduce(leastMultiple, 1);
}

function leastMultiple(a: number, b: number): number {
  return a / greatestDivisor(a, b) * b;
}

function cut(rows: number, length: number): RowRun[] {
  return Array.from({ length: Math.ceil(rows / length) }, (_, i) => ({
    first: i * length,
    count: Math.min(length, rows - i * length),
  }));
}

/**
 * Cuts rows into runs as long as a binding can hold, in each of several tensors.
 *
 * @param widths Floats of a row in each tensor.
 * @param multiple What the starts of runs are whole multiples of; a run is longer than a binding rather than shorter than this.
 * @returns Runs whose starts are on the alignment of bindings; a single one where all rows fit.
 * @example
 * ```ts
 * import { Device } from "@pixart/webgpu";
 * import { rowRuns } from "./row_runs.ts";
 * using device = await Device.open({ limits: { maxStorageBufferBindingSize: 1000 } });
 * console.assert(rowRuns(device, 100, [4]).map(({ first }) => first).join() === "0,48,96");
 * ```
 */
export function rowRuns(device: Device, rows: number, widths: readonly number[], multiple = 1): RowRun[] {
  const most = Math.floor(bindingFloats(device) / Math.max(1, ...widths));
  if (rows <= most) return rows > 0 ? [{ first: 0, count: rows }] : [];
  const step = leastMultiple(multiple, alignedRows(...widths));
  return cut(rows, Math.max(step, Math.floor(most / step) * step));
}

/**
 * Cuts the rows of a result into bands so low that both they and the input rows that they are made of fit a binding.
 *
 * @param width Floats of a row of the result.
 * @param input Rows of the input and floats of each.
 * @param reach The input rows, from and up to, that result rows from and up to are made of; may reach past the edges.
 */
export function rowBands(
  device: Device,
  rows: number,
  width: number,
  input: { rows: number; width: number },
  reach: (first: number, end: number) => readonly [from: number, end: number],
): Band[] {
  const most = bindingFloats(device);
  const [step, inputStep] = [alignedRows(width), alignedRows(input.width)];
  for (let length = Math.max(step, Math.floor(Math.min(rows, most / width) / step) * step);; length /= 2) {
    length = Math.max(step, Math.floor(length / step) * step);
    const bands = cut(rows, length).map((run) => {
      const [from, end] = reach(run.first, run.first + run.count);
      const aligned = Math.floor(Math.max(0, from) / inputStep) * inputStep;
      return { ...run, from: aligned, height: Math.min(end, input.rows) - aligned };
    });
    if (length === step || bands.every(({ height }) => height * input.width <= most)) return bands;
  }
}
