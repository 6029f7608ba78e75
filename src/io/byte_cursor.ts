// Little-endian numbers out of a header whose length is not known before it is read. In: a ByteSource, or bytes. Out: numbers;
// where the bytes end too early, `parseGrowing` fetches more of them and parses again.
import type { WeightsError } from "../errors.ts";
import type { ByteSource } from "./byte_range.ts";

/** Makes the error of one file out of what is wrong in it. */
export type Wrong = (state: string) => WeightsError;

/** Thrown when a cursor would pass the end of its bytes. */
export class NeedsMore extends Error {
  /** @param upTo How many bytes there would have to be. */
  constructor(readonly upTo: number) {
    super(`${upTo} bytes are needed`);
  }
}

/** A place in bytes that moves on as numbers are read. */
export class ByteCursor {
  readonly #view: DataView;

  constructor(readonly bytes: Uint8Array<ArrayBuffer>, public at = 0) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Passes `length` bytes and says where they began; throws NeedsMore when they are not there. */
  skip(length: number): number {
    const from = this.at;
    if (from + length > this.bytes.length) throw new NeedsMore(from + length);
    this.at += length;
    return from;
  }

  /** The next bytes, as a view. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const from = this.skip(length);
    return this.bytes.subarray(from, from + length);
  }

  u8(): number {
    return this.bytes[this.skip(1)];
  }

  u16(): number {
    return this.#view.getUint16(this.skip(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.skip(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.skip(4), true);
  }

  /** A number of 64 bits; beyond 2^53 it is rounded, which every check of a size against a file refuses. */
  u64(): number {
    return Number(this.#view.getBigUint64(this.skip(8), true));
  }

  f32(): number {
    return this.#view.getFloat32(this.skip(4), true);
  }

  f64(littleEndian = true): number {
    return this.#view.getFloat64(this.skip(8), littleEndian);
  }
}

const FIRST_WINDOW = 256 * 2 ** 10;

/**
 * Parses what begins at `start` and ends somewhere, with a window of bytes that grows until it is large enough.
 *
 * @param most The largest window, in bytes.
 * @param parse May be called several times; throws NeedsMore when its bytes end too early.
 * @throws {WeightsError} when the source ends too early, or the window would pass `most`.
 */
export async function parseGrowing<Result>(
  source: ByteSource,
  start: number,
  most: number,
  wrong: Wrong,
  parse: (bytes: Uint8Array<ArrayBuffer>) => Result,
): Promise<Result> {
  const rest = source.size - start;
  for (let length = Math.min(FIRST_WINDOW, rest);;) {
    try {
      return parse(await source.read(start, length));
    } catch (error) {
      if (!(error instanceof NeedsMore)) throw error;
      if (error.upTo > rest) {
        throw wrong(`it needs a byte at ${start + error.upTo - 1}, and the file ends at ${source.size}`);
      }
      if (error.upTo > most) throw wrong(`its header would be more than ${most} bytes, which is the most allowed`);
      length = Math.min(rest, most, Math.max(length * 4, error.upTo));
    }
  }
}
