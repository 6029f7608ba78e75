// The ledger of device memory: every GPU buffer that this library makes is entered here, and struck out when freed.

/** What the ledger counts. */
export interface LedgerEntry {
  readonly size: number;
  destroy(): void;
}

/** The GPU buffers of a device: how many bytes now, and the most there have been. */
export class Ledger {
  readonly #entries = new Set<LedgerEntry>();
  #bytes = 0;
  #peak = 0;

  /** Bytes allocated now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The most bytes allocated at once since the last `resetPeak()`. */
  get peak(): number {
    return this.#peak;
  }

  /** Buffers allocated now. */
  get buffers(): number {
    return this.#entries.size;
  }

  /** Enters a buffer. */
  add(entry: LedgerEntry): void {
    this.#entries.add(entry);
    this.#bytes += entry.size;
    this.#peak = Math.max(this.#peak, this.#bytes);
  }

  /** Strikes a buffer out. */
  remove(entry: LedgerEntry): void {
    if (this.#entries.delete(entry)) this.#bytes -= entry.size;
  }

  /** Starts a new measurement of the peak from what is allocated now. */
  resetPeak(): void {
    this.#peak = this.#bytes;
  }

  /** Destroys every buffer that is still there. */
  destroyAll(): void {
    for (const entry of [...this.#entries]) entry.destroy();
  }
}
