// Deflated bytes read by range. In: a way to read the compressed bytes. Out: ranges of what they hold. Reading on where the
// last range ended goes on inflating there; reading before it starts again. No more is inflated at once than a small piece of
// the input gives.
import { Inflate } from "npm:fflate@0.8.3";
import { memoryFor } from "./byte_range.ts";
import type { Wrong } from "./byte_cursor.ts";
import { crc32 } from "./crc32.ts";
import type { ReadBytes } from "./tensor_table.ts";

// A deflated byte holds at most 1032 bytes, so a piece of input gives at most 17 MB. The first pieces are smaller: often only
// the start of a member is wanted.
const FIRST_PIECE = 1024;
const LARGEST_PIECE = 16 * 1024;

/** What is known of deflated bytes. */
export interface Deflated {
  compressedSize: number;
  size: number;
  /** CRC-32 of the inflated bytes, which is checked when all of them have been seen. */
  crc: number;
}

/** A place in inflated bytes. */
export class InflateCursor {
  readonly #input: ReadBytes;
  readonly #deflated: Deflated;
  readonly #wrong: Wrong;
  #inflate = new Inflate();
  #inputAt = 0;
  #piece = FIRST_PIECE;
  /** What was inflated and not yet passed, and where its first byte stands. */
  #held: Uint8Array[] = [];
  #at = 0;
  #seen = 0;
  #crc = 0;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(input: ReadBytes, deflated: Deflated, wrong: Wrong) {
    this.#input = input;
    this.#deflated = deflated;
    this.#wrong = wrong;
    this.#restart();
  }

  /** Reads a range; calls that overlap in time take turns. */
  read(start: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const result = this.#turn.then(() => this.#read(start, memoryFor(length, into)));
    this.#turn = result.catch(() => this.#restart());
    return result;
  }

  #restart(): void {
    this.#inflate = new Inflate((chunk) => {
      this.#seen += chunk.length;
      this.#crc = crc32(chunk, this.#crc);
      if (chunk.length > 0) this.#held.push(chunk);
    });
    this.#inputAt = 0;
    this.#piece = FIRST_PIECE;
    this.#held = [];
    this.#at = 0;
    this.#seen = 0;
    this.#crc = 0;
  }

  async #read(start: number, out: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    if (start < this.#at) this.#restart();
    for (let done = 0; done < out.length;) {
      const chunk = this.#held[0];
      if (!chunk) {
        await this.#more();
        continue;
      }
      const skipped = Math.min(chunk.length, Math.max(0, start + done - this.#at));
      const taken = chunk.subarray(skipped, Math.min(chunk.length, skipped + out.length - done));
      out.set(taken, done);
      done += taken.length;
      const passed = skipped + taken.length;
      this.#at += passed;
      if (passed === chunk.length) this.#held.shift();
      else this.#held[0] = chunk.subarray(passed);
    }
    return out;
  }

  async #more(): Promise<void> {
    const { compressedSize, size, crc } = this.#deflated;
    const length = Math.min(this.#piece, compressedSize - this.#inputAt);
    if (length <= 0) throw this.#wrong(`its deflated data ends after ${this.#seen} of ${size} bytes`);
    const input = await this.#input(this.#inputAt, length);
    this.#inputAt += length;
    this.#piece = Math.min(LARGEST_PIECE, this.#piece * 2);
    try {
      this.#inflate.push(input, this.#inputAt === compressedSize);
    } catch (error) {
      throw this.#wrong(`its deflated data is broken before byte ${this.#inputAt}: ${(error as Error).message}`);
    }
    if (this.#seen > size) throw this.#wrong(`its deflated data holds more than the ${size} bytes that it should`);
    if (this.#seen === size && this.#crc !== crc) {
      throw this.#wrong(`its deflated data has the checksum ${hex(this.#crc)}, and ${hex(crc)} is stated`);
    }
  }
}

const hex = (crc: number) => crc.toString(16).padStart(8, "0");
