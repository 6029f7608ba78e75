// Checkpoints in memory whose tensors are in any dtype, blocks among them.

import { bytesFor, type StoredDType, type WeightSource } from "../../src/io/weights.ts";

/** A tensor as a file stores it. */
export interface StoredTensor {
  dtype: StoredDType;
  shape: number[];
  bytes: Uint8Array<ArrayBuffer>;
}

/** A tensor of f32 numbers. */
export function f32(shape: number[], data: Float32Array<ArrayBuffer>): StoredTensor {
  return { dtype: "F32", shape, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
}

/** A checkpoint; it can be read as often as wanted. */
export function storedWeights(tensors: Readonly<Record<string, StoredTensor>>): WeightSource {
  return {
    name: "in memory",
    metadata: {},
    names: () => Object.keys(tensors).sort(),
    has: (name) => Object.hasOwn(tensors, name),
    info(name) {
      const { dtype, shape } = tensors[name];
      return { name, dtype, shape, byteLength: bytesFor(dtype, shape.reduce((product, size) => product * size, 1)) };
    },
    read: (name, start, end) => Promise.resolve(tensors[name].bytes.subarray(start, end)),
    [Symbol.dispose]: () => {},
  };
}
