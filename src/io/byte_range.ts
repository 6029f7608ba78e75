// What reading by range means, whatever the bytes come from. Out: the interface, its options and its one rule.
import { WeightsError } from "../errors.ts";

/** Something of a known size whose bytes can be read by range. */
export interface ByteSource extends Disposable {
  /** The path or URL, for messages. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /**
   * Reads exactly `length` bytes from `offset` on; a range outside the source is a WeightsError.
   *
   * @param into Memory that may serve for the result, if it is large enough: touching new memory can cost more than the
   * reading. Use what is returned.
   */
  read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Releases the file or the memory; more than once is allowed. */
  close(): void;
}

/** How to reach the bytes. */
export interface OpenOptions {
  /** Ends the network requests of this source. */
  signal?: AbortSignal;
  /** Headers of every request, such as an access token. */
  headers?: Record<string, string>;
}

/** Throws unless the range is whole numbers inside a source of `size` bytes. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
  if (whole && offset >= 0 && length >= 0 && offset + length <= size) return;
  throw new WeightsError(
    `Cannot read ${length} bytes at ${offset} of ${name} as they must lie inside it: it has ${size} bytes`,
  );
}

/** `length` bytes of memory: the start of what was offered, or new. */
export function memoryFor(length: number, into?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return into && into.length >= length ? into.subarray(0, length) : new Uint8Array(length);
}
