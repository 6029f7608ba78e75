// What a picture file may claim of itself. In: the size in its header. Out: nothing, or the error.

import { UsageError } from "../errors.ts";

// A few hundred bytes can claim any size. Photographs have 12 to 60 million pixels.
export const LARGEST_PICTURE = 2 ** 26;

/**
 * Refuses sizes that would fill the memory.
 *
 * @throws {UsageError} when a side is 0, or there are more than 2^26 pixels.
 */
export function checkPictureSize(format: string, width: number, height: number): void {
  if (width > 0 && height > 0 && width * height <= LARGEST_PICTURE) return;
  throw new UsageError(
    `Cannot decode a ${format} of ${width} by ${height} pixels as there must be some, and ${LARGEST_PICTURE} at most`,
  );
}

/** Does `work` and makes any error of a decoder one that names the format. */
export function decoding<T>(format: string, bytes: Uint8Array, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`Cannot decode ${bytes.length} bytes as ${format}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
