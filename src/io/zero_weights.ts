// A checkpoint with more tensors, all of whose numbers are 0. In: a WeightSource and the shapes of the others. Out: a WeightSource.

import { checkRange, memoryFor } from "./byte_range.ts";
import { bytesFor, type WeightSource } from "./weights.ts";

/**
 * Adds tensors of zeros, f32, to a checkpoint.
 *
 * @param shapes By names that the checkpoint does not have.
 * @returns A source that is disposed with the given one.
 */
export function withZeros(source: WeightSource, shapes: ReadonlyMap<string, readonly number[]>): WeightSource {
  const bytesOf = (shape: readonly number[]) => bytesFor("F32", shape.reduce((product, extent) => product * extent, 1));
  return {
    name: source.name,
    metadata: source.metadata,
    names: () => [...source.names(), ...shapes.keys()].sort(),
    has: (name) => shapes.has(name) || source.has(name),
    info: (name) => {
      const shape = shapes.get(name);
      return shape ? { name, dtype: "F32", shape: [...shape], byteLength: bytesOf(shape) } : source.info(name);
    },
    // `async` so that a range outside the tensor rejects, as it does for a file.
    // deno-lint-ignore require-await
    read: async (name, ...range) => {
      const shape = shapes.get(name);
      if (!shape) return source.read(name, ...range);
      const [start = 0, end = bytesOf(shape), into] = range;
      checkRange(`tensor "${name}" of ${source.name}`, bytesOf(shape), start, end - start);
      return memoryFor(end - start, into).fill(0);
    },
    [Symbol.dispose]: () => source[Symbol.dispose](),
  };
}
