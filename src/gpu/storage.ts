// A GPU buffer with an identity, its size in the ledger, and one owner. In: bytes. Out: something a tensor can lie in.

import { OutOfMemoryError } from "../errors.ts";
import type { Ledger } from "./ledger.ts";

/** WebGPU's buffer usage bits; the globals of that name are missing outside Deno and browsers. */
export const USAGE = { MAP_READ: 1, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128, QUERY_RESOLVE: 512 } as const;

let nextId = 1;

/** One GPU buffer. */
export class Storage {
  readonly id = nextId++;
  /** The last recording that uses it: what is written before that was submitted would come too early. */
  usedBy: { readonly submitted: boolean } | undefined;
  #destroyed = false;

  constructor(readonly buffer: GPUBuffer, readonly size: number, private readonly ledger: Ledger) {
    ledger.add(this);
  }

  /** True once the buffer was given back to the device. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** Gives the buffer back to the device. Work already submitted still completes. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.ledger.remove(this);
    this.buffer.destroy();
  }
}

/**
 * Makes a buffer, refusing sizes that no device call should see.
 *
 * @param device The WebGPU device.
 * @param size Its bytes; a multiple of 4.
 * @param usage WebGPU usage bits.
 * @param limit Bytes that a buffer may have.
 * @throws {OutOfMemoryError} when `size` is above the limit, or the device refuses at once.
 */
export function makeStorage(
  device: GPUDevice,
  ledger: Ledger,
  size: number,
  usage: number,
  label: string,
  limit = device.limits.maxBufferSize,
): Storage {
  if (size > limit) {
    throw new OutOfMemoryError(
      `Cannot allocate ${label} of ${size} bytes as a buffer holds at most ${limit}: too large`,
    );
  }
  try {
    return new Storage(device.createBuffer({ size, usage, label }), size, ledger);
  } catch (error) {
    throw new OutOfMemoryError(
      `Cannot allocate ${label} of ${size} bytes as the device must have the memory: ${
        error instanceof Error ? error.message : error
      }`,
      { cause: error },
    );
  }
}
