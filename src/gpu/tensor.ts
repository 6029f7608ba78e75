// A tensor is a place in a GPU buffer with a shape and a type. It has no arithmetic: that is what ops are for.

import { ShapeError } from "../errors.ts";
import type { Storage } from "./storage.ts";

/** Element types of tensors. `f16` is stored two to a 32-bit word, so that no device feature is needed to read it. */
export type DType = "f32" | "f16" | "u32" | "i32";

/** Numbers as they come from and go to the GPU. */
export type HostArray = Float32Array | Uint32Array | Int32Array;

/** The element type that an array of numbers has on the GPU. */
export function hostDType(data: HostArray): DType {
  return data instanceof Float32Array ? "f32" : data instanceof Uint32Array ? "u32" : "i32";
}

/** Bytes of `count` elements, padded to whole 32-bit words. */
export function byteSize(count: number, dtype: DType): number {
  return dtype === "f16" ? Math.ceil(count / 2) * 4 : count * 4;
}

/** The number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  let product = 1;
  for (const extent of shape) product *= extent;
  return product;
}

/** How shapes are written in messages: `[2, 4096, 1152]`. */
export function formatShape(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

/** What a tensor does with its buffer when it is disposed. */
export type Release = (storage: Storage) => void;

/** A shaped, typed range of a GPU buffer. */
export class Tensor implements Disposable {
  readonly shape: readonly number[];
  /** The number of elements. */
  readonly size: number;
  /** Bytes it spans in its buffer. */
  readonly bytes: number;
  #release: Release | undefined;

  /**
   * @param storage The buffer it lies in.
   * @param shape Extents, outermost first.
   * @param offset Bytes from the start of the buffer.
   * @param release What disposing does with the buffer; nothing for a view.
   */
  constructor(
    readonly storage: Storage,
    shape: readonly number[],
    readonly dtype: DType,
    readonly offset = 0,
    release?: Release,
  ) {
    for (const extent of shape) {
      if (!Number.isInteger(extent) || extent < 0) {
        throw new ShapeError(`Cannot make a tensor ${formatShape(shape)} as extents must be whole: ${extent}`);
      }
    }
    this.shape = shape;
    this.size = elementCount(shape);
    this.bytes = byteSize(this.size, dtype);
    this.#release = release;
    if (offset + this.bytes > storage.size) {
      throw new ShapeError(
        `Cannot place ${this} at byte ${offset} as its buffer holds ${storage.size} bytes: it needs ${this.bytes}`,
      );
    }
  }

  /** The extent of an axis; negative axes count from the last. */
  dim(axis: number): number {
    const extent = this.shape.at(axis);
    if (extent === undefined) throw new ShapeError(`Cannot take axis ${axis} of ${this}: it has ${this.shape.length}`);
    return extent;
  }

  /**
   * Another look at the same elements; it owns nothing.
   *
   * @param shape The new extents.
   * @param start Elements to skip from the start of this tensor.
   * @throws {ShapeError} when the elements do not lie inside this tensor, or not on a binding's alignment.
   */
  view(shape: readonly number[], start = 0): Tensor {
    const skip = byteSize(start, this.dtype);
    if (start + elementCount(shape) > this.size) {
      throw new ShapeError(`Cannot view ${this} as ${formatShape(shape)} from element ${start}: too few elements`);
    }
    if (start % 2 !== 0 && this.dtype === "f16") {
      throw new ShapeError(`Cannot view ${this} from element ${start} as f16 starts on whole words: it is odd`);
    }
    return new Tensor(this.storage, shape, this.dtype, this.offset + skip);
  }

  /** Gives back what it owns; a view owns nothing. */
  dispose(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.(this.storage);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `${this.dtype}${formatShape(this.shape)}`;
  }
}
