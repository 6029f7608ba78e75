// Activation memory. A scope hands out tensors and takes all of them back when it ends; buffers are kept and reused, since a
// network asks for the same sizes again and again. Reuse is safe because the GPU runs what is recorded in order, as long as
// nothing waits between recording and submitting.

import type { Storage } from "./storage.ts";
import { byteSize, type DType, elementCount, Tensor } from "./tensor.ts";

/** The size of the buffer for so many bytes, so that slightly different shapes share: to 256 bytes, and to 1/8 of their power of two. */
export function sizeClass(bytes: number): number {
  const step = Math.max(256, 2 ** Math.floor(Math.log2(Math.max(bytes, 1))) / 8);
  return Math.ceil(Math.max(bytes, 1) / step) * step;
}

/**
 * Which of the kept buffers serves a request: the smallest that is not more than a quarter too large.
 *
 * @returns Its index, or -1.
 */
export function bestKept(kept: readonly { size: number }[], size: number): number {
  let best = -1;
  for (let i = 0; i < kept.length; i++) {
    const candidate = kept[i].size;
    if (candidate >= size && candidate <= size * 1.25 && (best < 0 || candidate < kept[best].size)) best = i;
  }
  return best;
}

/** A pool of buffers for activations. */
export class Arena {
  #free: Storage[] = [];
  #made = new WeakSet<Storage>();
  readonly #make: (bytes: number) => Storage;

  /** @param make Makes a new buffer of so many bytes. */
  constructor(make: (bytes: number) => Storage) {
    this.#make = (bytes) => {
      const storage = make(bytes);
      this.#made.add(storage);
      return storage;
    };
  }

  /** Whether a buffer is one of its own, in use or not. */
  made(storage: Storage): boolean {
    return this.#made.has(storage);
  }

  /** Whether a buffer is kept for reuse now. */
  isFree(storage: Storage): boolean {
    return this.#free.includes(storage);
  }

  /** Bytes kept for reuse now. */
  get freeBytes(): number {
    return this.#free.reduce((sum, storage) => sum + storage.size, 0);
  }

  /** A buffer of at least `bytes` bytes: a kept one, or a new one. */
  take(bytes: number): Storage {
    const size = sizeClass(bytes);
    const best = bestKept(this.#free, size);
    if (best >= 0) return this.#free.splice(best, 1)[0];
    return this.#make(size);
  }

  /** The same, but of those kept only one that may be written at once: no recording that is yet to be submitted uses it. */
  takeIdle(bytes: number): Storage {
    const size = sizeClass(bytes);
    const idle = this.#free.filter(({ usedBy }) => usedBy?.submitted !== false);
    const best = bestKept(idle, size);
    if (best < 0) return this.#make(size);
    this.#free = this.#free.filter((storage) => storage !== idle[best]);
    return idle[best];
  }

  /** Takes a buffer back. */
  give(storage: Storage): void {
    if (storage.destroyed) return;
    // The oldest first, whatever the order of giving: the same run then takes the same buffers, and finds its bind groups again.
    const younger = this.#free.findIndex(({ id }) => id > storage.id);
    this.#free.splice(younger < 0 ? this.#free.length : younger, 0, storage);
  }

  /** A new scope of tensors. */
  scope(): Scope {
    return new Scope(this);
  }

  /** Frees every buffer that is not in use. */
  trim(): void {
    for (const storage of this.#free) storage.destroy();
    this.#free = [];
  }
}

/** Tensors that live until the scope ends. */
export class Scope implements Disposable {
  #tensors: Tensor[] = []; // few, and most go in the order in which they came
  #onEnd: (() => void) | undefined;

  constructor(private readonly arena: Arena, onEnd?: () => void) {
    this.#onEnd = onEnd;
  }

  /** A tensor with undefined contents. */
  tensor(shape: readonly number[], dtype: DType = "f32"): Tensor {
    const storage = this.arena.take(byteSize(elementCount(shape), dtype));
    return this.adopt(storage, shape, dtype);
  }

  /** A tensor in a buffer that this scope now owns. */
  adopt(storage: Storage, shape: readonly number[], dtype: DType): Tensor {
    const tensor: Tensor = new Tensor(storage, shape, dtype, 0, (owned) => {
      this.#forget(tensor);
      this.arena.give(owned);
    });
    this.#tensors.push(tensor);
    return tensor;
  }

  /** Lets go of a tensor, so that another scope can hold its buffer; nothing when this scope does not own it. */
  release(tensor: Tensor): Storage | undefined {
    return this.#forget(tensor) ? tensor.storage : undefined;
  }

  #forget(tensor: Tensor): boolean {
    const at = this.#tensors.lastIndexOf(tensor);
    if (at >= 0) this.#tensors.splice(at, 1);
    return at >= 0;
  }

  /** Ends the scope: all of its tensors go back to the arena. */
  dispose(): void {
    for (let i = this.#tensors.length - 1; i >= 0; i--) this.#tensors[i].dispose();
    const onEnd = this.#onEnd;
    this.#onEnd = undefined;
    onEnd?.();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
