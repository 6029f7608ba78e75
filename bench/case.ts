// What is measured: an op or a network at one shape of the model. In: its extents. Out: how to open it on a device, what it must
// compute, and what a peer needs to do the same.

import type { Device } from "../src/gpu/device.ts";
import type { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { bytesOf } from "../src/io/byte_source.ts";
import { encodeSafetensors, openSafetensors } from "../src/io/safetensors.ts";
import type { WeightSource } from "../src/io/weights.ts";
import type { WeightDType } from "../src/ops/weight_kernels.ts";

/**
 * Every type of weights that linear layers are measured with, with the relative L2 error that it may have. The one list: a type
 * added here is measured wherever weights are multiplied.
 */
export const WEIGHT_DTYPES: Readonly<Partial<Record<WeightDType, number>>> = {
  f32: 1e-5,
  f16: 2e-3,
  int8: 1e-2,
  int4: 1e-1,
};

/** A case on a device. */
export interface Opened extends Disposable {
  /** What this device gets, where the names of its kernels do not tell. */
  variant?: string;
  /** Records it once; the result lies in the recorder's scope. */
  record(rec: Recorder): Tensor;
}

/** What a peer is given: the kind of work, its extents, and its inputs. */
export interface PeerJob {
  kind: "matmul" | "attention" | "conv2d" | "layer_norm" | "group_norm" | "block" | "step" | "t5" | "vae";
  extents: Record<string, number>;
  /** Named arrays; a matrix of weights is [in, out], a kernel [height, width, in, out]. */
  inputs?(): Promise<Record<string, { shape: number[]; data: Float32Array }>>;
}

/** Some elements of a result. */
export interface Sample {
  places: Uint32Array;
  values: Float32Array;
}

/** One thing to be measured. */
export interface Case {
  op: string;
  /** What it is in the model, with extents: `qkv 1024x1152x3456`. */
  shape: string;
  dtype: string;
  /** Words that choose it beside `op` and `dtype`: `512`, `t5`. */
  words: string[];
  flops: number;
  /** Bytes that must move at least. */
  bytes: number;
  /** Relative L2 error up to which a result is right. */
  tolerance: number;
  /** One of the few that are measured in a minute. */
  quick?: boolean;
  /** Where it is measured, if not everywhere. */
  only?: "cpu" | "gpu";
  /** Whether a software device takes too long for it unless it is asked for by its size. */
  large?: boolean;
  open(device: Device): Promise<Opened>;
  /** What the result must be, by plain loops; without it the portable kernels are the reference. */
  expected?(): Sample;
  peer?: PeerJob;
}

/** Arrays as a checkpoint. */
export async function weightsOf(
  arrays: Record<string, { shape: number[]; data: Float32Array }>,
): Promise<WeightSource> {
  const tensors = Object.entries(arrays).map(([name, { shape, data }]) =>
    [name, { dtype: "F32", shape, data }] as const
  );
  return await openSafetensors(bytesOf("bench", encodeSafetensors(Object.fromEntries(tensors))));
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
