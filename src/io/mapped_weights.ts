// Another view of a checkpoint's tensors: under other names, cut into parts, joined, or seen in another shape. In: a WeightSource
// and, for each tensor of the view, the pieces of the source's bytes that it is made of. Out: a WeightSource; no byte is changed.

import { WeightsError } from "../errors.ts";
import { memoryFor } from "./byte_range.ts";
import { type ReadBytes, type TableEntry, TensorTable } from "./tensor_table.ts";
import type { StoredDType, WeightSource } from "./weights.ts";

/** The bytes `[start, end)` of a tensor of the source. */
export interface Piece {
  name: string;
  start: number;
  end: number;
}

/** A tensor of the view: its pieces one behind the other. */
export interface MappedTensor {
  dtype: StoredDType;
  shape: readonly number[];
  pieces: readonly Piece[];
}

/** A tensor as it is; in another shape of as many elements if one is given. */
export function wholeTensor(source: WeightSource, name: string, shape?: readonly number[]): MappedTensor {
  const info = source.info(name);
  return { dtype: info.dtype, shape: shape ?? info.shape, pieces: [{ name, start: 0, end: info.byteLength }] };
}

/**
 * One of the equal parts of a tensor along its first axis.
 *
 * @throws {WeightsError} when it does not cut into as many.
 */
export function partOfTensor(source: WeightSource, name: string, part: number, parts: number): MappedTensor {
  if (parts === 1) return wholeTensor(source, name);
  const { dtype, shape, byteLength } = source.info(name);
  const [first = 0, ...rest] = shape;
  if (first === 0 || first % parts !== 0) {
    throw new WeightsError(
      `Cannot split ${name} [${shape.join(", ")}] of ${source.name} as it must hold ${parts} equal parts`,
    );
  }
  const size = byteLength / parts;
  return { dtype, shape: [first / parts, ...rest], pieces: [{ name, start: part * size, end: (part + 1) * size }] };
}

/**
 * Tensors one behind the other along their first axis.
 *
 * @throws {WeightsError} when their dtypes or their other axes differ.
 */
export function joinedTensors(source: WeightSource, names: readonly string[]): MappedTensor {
  const infos = names.map((name) => source.info(name));
  const [{ dtype, shape: [, ...rest] }] = infos;
  const different = infos.find((info) => info.dtype !== dtype || info.shape.slice(1).join() !== rest.join());
  if (different) {
    throw new WeightsError(
      `Cannot join ${names.join(" and ")} of ${source.name} as their dtypes and inner axes must be equal: ` +
        infos.map((info) => `${info.dtype} [${info.shape.join(", ")}]`).join(", "),
    );
  }
  return {
    dtype,
    shape: [infos.reduce((sum, info) => sum + info.shape[0], 0), ...rest],
    pieces: infos.map(({ name, byteLength }) => ({ name, start: 0, end: byteLength })),
  };
}

/** A view of a checkpoint, which is disposed with it. */
export class MappedWeights extends TensorTable {
  constructor(source: WeightSource, tensors: ReadonlyMap<string, MappedTensor>) {
    const entries = Array.from(tensors, ([name, tensor]) => [name, entryOf(source, tensor)] as const);
    super(source.name, source.metadata, new Map(entries), () => source[Symbol.dispose]());
  }
}

function entryOf(source: WeightSource, { dtype, shape, pieces }: MappedTensor): TableEntry {
  const byteLength = pieces.reduce((sum, { start, end }) => sum + end - start, 0);
  const [piece] = pieces;
  const read: ReadBytes = pieces.length === 1
    ? (start, length, into) => source.read(piece.name, piece.start + start, piece.start + start + length, into)
    : (start, length, into) => readJoined(source, pieces, start, memoryFor(length, into));
  return { dtype, shape, byteLength, read };
}

/** Fills memory with what lies from `start` on in pieces one behind the other. */
async function readJoined(
  source: WeightSource,
  pieces: readonly Piece[],
  start: number,
  out: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  let at = 0; // where the piece begins in the tensor
  for (const piece of pieces) {
    const size = piece.end - piece.start;
    const from = Math.max(start, at), to = Math.min(start + out.length, at + size);
    if (from < to) {
      const target = out.subarray(from - start, to - start);
      const bytes = await source.read(piece.name, piece.start + from - at, piece.start + to - at, target);
      if (bytes.buffer !== target.buffer || bytes.byteOffset !== target.byteOffset) target.set(bytes);
    }
    at += size;
  }
  return out;
}
