// Another view of a checkpoint's tensors: under other names, cut into parts, joined, or seen in another shape. In: a WeightSource
// and, for each tensor of the view, the pieces of the source's bytes that it is made of. Out: a WeightSource; no byte is changed.

import { WeightsError } from "../errors.ts";
import { checkRange, memoryFor } from "./byte_range.ts";
import type { ReadRange, StoredDType, TensorInfo, WeightSource } from "./weights.ts";

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
export class MappedWeights implements WeightSource {
  readonly name: string;
  readonly metadata: Record<string, string>;
  readonly #source: WeightSource;
  readonly #tensors: ReadonlyMap<string, MappedTensor>;

  constructor(source: WeightSource, tensors: ReadonlyMap<string, MappedTensor>) {
    this.#source = source;
    this.#tensors = tensors;
    this.name = source.name;
    this.metadata = source.metadata;
  }

  names(): string[] {
    return [...this.#tensors.keys()].sort();
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): TensorInfo {
    const { dtype, shape, pieces } = this.#find(name);
    return { name, dtype, shape: [...shape], byteLength: lengthOf(pieces) };
  }

  async read(name: string, ...[start = 0, end, into]: ReadRange): Promise<Uint8Array<ArrayBuffer>> {
    const { pieces } = this.#find(name);
    const length = (end ?? lengthOf(pieces)) - start;
    checkRange(`tensor "${name}" of ${this.name}`, lengthOf(pieces), start, length);
    if (pieces.length === 1) {
      const [piece] = pieces;
      return await this.#source.read(piece.name, piece.start + start, piece.start + start + length, into);
    }
    const out = memoryFor(length, into);
    let at = 0; // where the piece begins in the tensor
    for (const piece of pieces) {
      const size = piece.end - piece.start;
      const from = Math.max(start, at), to = Math.min(start + length, at + size);
      if (from < to) {
        const target = out.subarray(from - start, to - start);
        const bytes = await this.#source.read(piece.name, piece.start + from - at, piece.start + to - at, target);
        if (bytes.buffer !== target.buffer || bytes.byteOffset !== target.byteOffset) target.set(bytes);
      }
      at += size;
    }
    return out;
  }

  #find(name: string): MappedTensor {
    const tensor = this.#tensors.get(name);
    if (tensor) return tensor;
    throw new WeightsError(
      `Cannot find tensor "${name.slice(0, 120)}" in ${this.name}: it holds ${this.#tensors.size} others`,
    );
  }

  [Symbol.dispose](): void {
    this.#source[Symbol.dispose]();
  }
}

const lengthOf = (pieces: readonly Piece[]) => pieces.reduce((sum, { start, end }) => sum + end - start, 0);
