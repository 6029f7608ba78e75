// Tensors on their way into a file, a bounded piece at a time. In: a WeightSource. Out: its bytes, in pieces.

import type { WeightSource } from "./weights.ts";

/** Bytes of a tensor that are in memory at once; whole blocks of Q8_0 and Q4_0. */
const PIECE_BYTES = 306 * 2 ** 16;

/** How a file of weights is written. */
export interface WriteOptions {
  /** Told after each piece: how many bytes were written. */
  onBytes?: (bytes: number) => void;
  signal?: AbortSignal;
}

/**
 * Reads a tensor piece by piece and hands each to `write`, which must be done with it when it returns.
 *
 * @throws The signal's reason when it was aborted.
 */
export async function streamTensor(
  source: WeightSource,
  name: string,
  { onBytes, signal }: WriteOptions,
  write: (bytes: Uint8Array<ArrayBuffer>) => Promise<void>,
): Promise<void> {
  const { byteLength } = source.info(name);
  const memory = new Uint8Array(Math.min(byteLength, PIECE_BYTES));
  for (let start = 0; start < byteLength; start += PIECE_BYTES) {
    signal?.throwIfAborted();
    const end = Math.min(byteLength, start + PIECE_BYTES);
    const bytes = await source.read(name, start, end, memory);
    await write(bytes);
    onBytes?.(bytes.length);
  }
}
