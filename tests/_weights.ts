// Checkpoints in memory and in folders that go away, for tests of what reads and writes them.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bytesOf } from "../src/io/byte_source.ts";
import { type MappedTensor, MappedWeights, wholeTensor } from "../src/io/mapped_weights.ts";
import { encodeSafetensors, openSafetensors, type TensorData } from "../src/io/safetensors.ts";
import type { WeightSource } from "../src/io/weights.ts";

/** The path of a golden file or folder. */
export const golden = (name: string): string => fileURLToPath(new URL(`golden/${name}`, import.meta.url));

/** A tensor of f32 numbers 0, 1, 2 and so on from `first`. */
export function counting(shape: number[], first = 0): TensorData {
  const count = shape.reduce((product, size) => product * size, 1);
  return { dtype: "F32", shape, data: Float32Array.from({ length: count }, (_, i) => first + i) };
}

/** A checkpoint in memory. */
export function inMemory(
  tensors: Record<string, TensorData>,
  metadata?: Record<string, string>,
): Promise<WeightSource> {
  return openSafetensors(bytesOf("in memory", encodeSafetensors(tensors, metadata)));
}

/** The same tensors under other names; those named undefined are left out. */
export function renamed(source: WeightSource, nameOf: (name: string) => string | undefined): WeightSource {
  const tensors = new Map<string, MappedTensor>();
  for (const name of source.names()) {
    const other = nameOf(name);
    if (other !== undefined) tensors.set(other, wholeTensor(source, name));
  }
  return new MappedWeights(source, tensors);
}

/** Fails unless two checkpoints have the same names, dtypes, shapes and bytes. */
export async function assertSameBytes(actual: WeightSource, expected: WeightSource): Promise<void> {
  assert.deepEqual(actual.names(), expected.names());
  for (const name of expected.names()) {
    assert.deepEqual(actual.info(name), expected.info(name));
    assert.ok(equal(await actual.read(name), await expected.read(name)), `${name} has other bytes`);
  }
}

/** Whether two arrays of bytes are the same. */
export const equal = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);
