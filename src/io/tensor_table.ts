// A WeightSource over tensors that are all known from the start. In: for each name its dtype, its shape and how to read it.
// Out: the WeightSource of an opened file of any format, and of a view of another source's tensors.
import { WeightsError } from "../errors.ts";
import { checkRange } from "./byte_range.ts";
import { printable } from "./printable.ts";
import type { ReadRange, StoredDType, TensorInfo, WeightSource } from "./weights.ts";

/** Reads `length` bytes from `start` on; `into` is memory that may serve for the result. */
export type ReadBytes = (
  start: number,
  length: number,
  into?: Uint8Array<ArrayBuffer>,
) => Promise<Uint8Array<ArrayBuffer>>;

/** One tensor. */
export interface TableEntry {
  dtype: StoredDType;
  shape: readonly number[];
  byteLength: number;
  /** Reads a range that was checked before. */
  read: ReadBytes;
}

/** Tensors by name. */
export class TensorTable implements WeightSource {
  readonly #entries: ReadonlyMap<string, TableEntry>;
  readonly #close: () => void;

  /** @param close Releases what the tensors are read from. */
  constructor(
    readonly name: string,
    readonly metadata: Record<string, string>,
    entries: ReadonlyMap<string, TableEntry>,
    close: () => void,
  ) {
    this.#entries = entries;
    this.#close = close;
  }

  names(): string[] {
    return [...this.#entries.keys()].sort();
  }

  has(name: string): boolean {
    return this.#entries.has(name);
  }

  info(name: string): TensorInfo {
    const { dtype, shape, byteLength } = this.#find(name);
    return { name, dtype, shape: [...shape], byteLength };
  }

  async read(name: string, ...[start = 0, end, into]: ReadRange): Promise<Uint8Array<ArrayBuffer>> {
    const { byteLength, read } = this.#find(name);
    const length = (end ?? byteLength) - start;
    checkRange(`tensor "${printable(name)}" of ${this.name}`, byteLength, start, length);
    return length === 0 ? new Uint8Array(0) : await read(start, length, into);
  }

  #find(name: string): TableEntry {
    const entry = this.#entries.get(name);
    if (entry) return entry;
    throw new WeightsError(
      `Cannot find tensor "${printable(name)}" in ${this.name}: it holds ${this.#entries.size} others`,
    );
  }

  [Symbol.dispose](): void {
    this.#close();
  }
}
