// Tensors on their way into a file, a bounded piece at a time. In: a WeightSource. Out: its bytes, in pieces.

import type { WeightSource } from "./weights.ts";

/** Bytes of a tensor in one piece; whole blocks of Q8_0 and Q4_0. Two pieces are in memory at once. */
const PIECE_BYTES = 306 * 2 ** 15;

/** How a file of weights is written. */
export interface WriteOptions {
  /** Told after each piece: how many bytes were written. */
  onBytes?: (bytes: number) => void;
  signal?: AbortSignal;
}

/**
 * Reads a tensor piece by piece and hands each to `write`; while one piece is written, the next is read.
 *
 * @param write Must be done with the bytes when its promise ends; it is called for a piece after it has ended for the one before.
 * @throws The signal's reason when it was aborted.
 */
export async function streamTensor(
  source: WeightSource,
  name: string,
  { onBytes, signal }: WriteOptions,
  write: (bytes: Uint8Array<ArrayBuffer>) => Promise<void>,
): Promise<void> {
  const { byteLength } = source.info(name);
  const memory = () => new Uint8Array(Math.min(byteLength, PIECE_BYTES));
  let free = memory();
  let busy = byteLength > PIECE_BYTES ? memory() : free;
  let writing: Promise<void> = Promise.resolve();
  try {
    for (let start = 0; start < byteLength; start += PIECE_BYTES) {
      signal?.throwIfAborted();
      const end = Math.min(byteLength, start + PIECE_BYTES);
      const bytes = await source.read(name, start, end, free);
      await writing;
      writing = write(bytes).then(() => onBytes?.(bytes.length));
      writing.catch(() => {}); // told by the await of the next round
      [free, busy] = [busy, free];
    }
  } finally {
    // Nothing goes on behind the back of whoever handles the error.
    await writing.catch(() => {});
  }
  await writing;
}
