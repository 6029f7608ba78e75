// Work whose speed is measured: an op at some extents. In: its extents. Out: how to open it on a device, what it must compute, and
// whether it did.

import type { Device } from "../gpu/device.ts";
import { read } from "../gpu/readback.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { bytesOf } from "../io/byte_source.ts";
import { encodeSafetensors, openSafetensors } from "../io/safetensors.ts";
import type { WeightSource } from "../io/weights.ts";
import { CounterNoise } from "../random/counter_noise.ts";

/** Work on a device. */
export interface Opened extends Disposable {
  /** What this device gets, where the names of its kernels do not tell. */
  variant?: string;
  /** Records it once; the result lies in the recorder's scope. */
  record(rec: Recorder): Tensor;
}

/** Some elements of a result. */
export interface Sample {
  places: Uint32Array;
  values: Float32Array;
}

/** One thing to be measured. */
export interface Work {
  op: string;
  /** What it is in the model, with extents: `qkv 1024x1152x3456`. */
  shape: string;
  dtype: string;
  flops: number;
  /** Bytes that must move at least. */
  bytes: number;
  /** Relative L2 error up to which a result is right. */
  tolerance: number;
  open(device: Device): Promise<Opened>;
  /** What the result must be, by plain loops. */
  expected?(): Sample;
}

/** Numbers in -scale..scale that are the same in every run. */
export function numbers(count: number, seed: number, scale = 1): Float32Array {
  const words = new Uint32Array(count), result = new Float32Array(count);
  new CounterNoise(seed, "numbers").fill(0, words);
  for (let i = 0; i < count; i++) result[i] = (words[i] / 2147483648 - 1) * scale;
  return result;
}

/** Numbers of weights, which halves hold exactly. */
export function weightNumbers(count: number, seed: number): Float32Array {
  const result = numbers(count, seed);
  for (let i = 0; i < count; i++) result[i] = Math.round(result[i] * 512) / 512;
  return result;
}

/** Arrays as a checkpoint. */
export async function weightsOf(
  arrays: Record<string, { shape: number[]; data: Float32Array }>,
): Promise<WeightSource> {
  const tensors = Object.entries(arrays).map(([name, { shape, data }]) =>
    [name, { dtype: "F32", shape, data }] as const
  );
  return await openSafetensors(bytesOf("numbers", encodeSafetensors(Object.fromEntries(tensors))));
}

/** So many places spread over `size` elements, never the same twice. */
export function spreadPlaces(size: number, count = 300): Uint32Array {
  const most = Math.min(size, count);
  return Uint32Array.from({ length: most }, (_, i) => Math.floor((i + ((i * 0.618034) % 1)) * size / most));
}

/** The elements at these places, computed one by one. */
export function sample(size: number, at: (place: number) => number, count?: number): Sample {
  const places = spreadPlaces(size, count);
  return { places, values: Float32Array.from(places, at) };
}

/** Frees all of these. */
export function disposing(...owned: Disposable[]): () => void {
  return () => {
    for (const each of owned) each[Symbol.dispose]();
  };
}

/** Relative L2 distance of `actual` from `expected`. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0, norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** What kernels that multiply in halves may be off by. */
const HALVES_TOLERANCE = 5e-3;

/**
 * What a result may be off by: less where kernels keep to f32.
 *
 * @param kinds The kinds of kernels that made it: `matrix+tile`.
 */
export function toleranceOf({ tolerance }: Pick<Work, "tolerance">, kinds: string): number {
  return /matrix|f16/.test(kinds) ? Math.max(tolerance, HALVES_TOLERANCE) : tolerance;
}

/** What came of the first run. */
export interface FirstRun {
  sample: Sample;
  /** The names of the kernels that ran. */
  names: Set<string>;
}

/**
 * Runs it once, and takes a sample of the result.
 *
 * @param places Where; spread over it when not given.
 * @throws {Error} when the result holds what is no number, or one number throughout.
 */
export async function firstRun(device: Device, opened: Opened, places?: Uint32Array): Promise<FirstRun> {
  const names = new Set<string>();
  device.profile = { next: (name) => void names.add(name), resolve() {} };
  const rec = new Recorder(device);
  using _scope = rec.scope();
  try {
    const result = opened.record(rec);
    rec.submit();
    device.profile = undefined;
    const numbers = await read(device, result);
    if (!numbers.every(Number.isFinite)) throw new Error("the result holds numbers that are not finite");
    if (numbers.every((value) => value === numbers[0])) throw new Error("the result is the same number throughout");
    const taken = places ?? spreadPlaces(numbers.length, 2000);
    return { sample: { places: taken, values: Float32Array.from(taken, (place) => numbers[place]) }, names };
  } finally {
    device.profile = undefined;
  }
}
