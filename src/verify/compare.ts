// Compares what was computed with what was recorded. In: two tensors, or two lists of whole numbers. Out: one row of a report,
// whose figures come from both of them.

import { formatShape } from "../gpu/tensor.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../io/half.ts";

/** Numbers with a shape. */
export interface Numbers {
  data: ArrayLike<number>;
  shape: readonly number[];
  /** Given when they were stored in halves. */
  dtype?: "F16" | "BF16";
}

/** How one output compares with its reference. */
export interface OutputReport {
  /** The output's name in the reference: `out.sample`. */
  name: string;
  /** The largest absolute difference; of whole numbers and text, how many differ. NaN where the two could not be compared. */
  maxAbsError: number;
  /** The L2 norm of the difference over that of the reference. NaN where the two could not be compared. */
  relativeL2: number;
  /** Whether the output is as it should be. */
  ok: boolean;
  /** What is wrong, in words. */
  note?: string;
}

/** A row for an output that was not compared, which is a failure. */
export function notCompared(name: string, note: string): OutputReport {
  return { name, maxAbsError: NaN, relativeL2: NaN, ok: false, note };
}

/**
 * Compares floats by their relative L2 error. A reference that was stored in halves is compared with ours in the same halves,
 * since it cannot tell apart what they round to one number.
 *
 * @param ours What was computed.
 * @param reference What was recorded.
 * @param tolerance The largest relative L2 error that passes.
 * @returns A row that fails also for other shapes, and for a NaN or an infinity on either side.
 * @example
 * ```ts
 * import { compareFloats } from "./compare.ts";
 * const [ours, reference] = [[3, 4.5], [3, 4]].map((data) => ({ data, shape: [2] }));
 * console.assert(compareFloats("out.x", ours, reference, 0.1).relativeL2 === 0.1);
 * ```
 */
export function compareFloats(name: string, ours: Numbers, reference: Numbers, tolerance: number): OutputReport {
  const shapes = `ours is ${formatShape(ours.shape)}, the reference ${formatShape(reference.shape)}`;
  const { length } = reference.data;
  if (ours.shape.join() !== reference.shape.join() || ours.data.length !== length) return notCompared(name, shapes);
  if (length === 0) return notCompared(name, `nothing to compare: ${shapes}`);
  const data = reference.dtype ? inHalves(Float32Array.from(ours.data), reference.dtype) : ours.data;
  let largest = 0, difference = 0, norm = 0;
  for (let i = 0; i < length; i++) {
    const error = Math.abs(data[i] - reference.data[i]);
    largest = Math.max(largest, error);
    difference += error ** 2;
    norm += reference.data[i] ** 2;
  }
  const row = { name, maxAbsError: largest, relativeL2: ratio(difference, norm) };
  const broken = nonFinite("ours", ours) ?? nonFinite("the reference", reference);
  if (broken) return { ...row, ok: false, note: broken };
  const note = reference.dtype && { note: `compared in ${reference.dtype}, as it was recorded` };
  return { ...row, ok: row.relativeL2 <= tolerance, ...note };
}

/**
 * Compares whole numbers, which must be equal.
 *
 * @param ours What was computed.
 * @param reference What was recorded.
 * @returns A row whose `maxAbsError` counts the places where they differ; where one is longer, the other counts as 0 there.
 * @example
 * ```ts
 * import { compareExactly } from "./compare.ts";
 * console.assert(compareExactly("ids", [3, 9, 1], [3, 8, 1]).maxAbsError === 1);
 * ```
 */
export function compareExactly(name: string, ours: ArrayLike<number>, reference: ArrayLike<number>): OutputReport {
  let differing = 0, difference = 0, norm = 0, note: string | undefined;
  for (let i = 0; i < Math.max(ours.length, reference.length); i++) {
    const [actual, expected]: (number | undefined)[] = [ours[i], reference[i]];
    norm += (expected ?? 0) ** 2;
    if (actual === expected) continue;
    differing++;
    difference += ((actual ?? 0) - (expected ?? 0)) ** 2;
    note ??= `[${i}] is ${actual ?? "missing"}, in the reference ${expected ?? "missing"}`;
  }
  const row = { name, maxAbsError: differing, relativeL2: ratio(difference, norm) };
  if (differing === 0) return { ...row, ok: true };
  return { ...row, ok: false, note: `${differing} of ${reference.length} differ: ${note}` };
}

/**
 * Compares two texts, which must be equal.
 *
 * @returns A row as `compareExactly` makes it of their UTF-16 code units, with both texts in its note.
 */
export function compareText(name: string, ours: string, reference: string): OutputReport {
  const units = (text: string) => Array.from(text, (_, i) => text.charCodeAt(i));
  const row = compareExactly(name, units(ours), units(reference));
  return row.ok ? row : { ...row, note: `${shorten(ours)}, in the reference ${shorten(reference)}` };
}

/** A text as one short line. */
export function shorten(text: string, most = 60): string {
  const quoted = JSON.stringify(text);
  return quoted.length > most ? `${quoted.slice(0, most)}..."` : quoted;
}

function ratio(difference: number, norm: number): number {
  if (norm > 0) return Math.sqrt(difference / norm);
  return difference === 0 ? 0 : difference > 0 ? Infinity : NaN;
}

/** Numbers rounded to the nearest halves. */
function inHalves(data: Float32Array, dtype: "F16" | "BF16"): Float32Array {
  return dtype === "F16" ? f16ToF32(f32ToF16(data)) : bf16ToF32(f32ToBf16(data));
}

function nonFinite(whose: string, { data }: Numbers): string | undefined {
  let first = -1, count = 0;
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    if (count++ === 0) first = i;
  }
  return count === 0
    ? undefined
    : `${count} of ${data.length} in ${whose} are not finite, the first ${data[first]} at [${first}]`;
}
