// Uniform parameters, interned: equal bytes share one slot of one buffer, so that the second step of a picture uploads nothing
// and its bind groups can be reused.

import { makeStorage, type Storage, USAGE } from "./storage.ts";
import type { Ledger } from "./ledger.ts";

const SLOT = 256; // the largest alignment of uniform offsets that WebGPU allows
const SLOTS = 1024;

/** Where a set of parameters lies. */
export interface ParamsSlot {
  buffer: GPUBuffer;
  offset: number;
  size: number;
  /** Names the slot in keys of bind groups. */
  id: number;
}

/** Slots of uniform memory, found by content. */
export class ParamsPool {
  #slots = new Map<string, ParamsSlot>();
  #blocks: Storage[] = [];

  constructor(private readonly device: GPUDevice, private readonly ledger: Ledger) {}

  /** The number of different parameter sets held. */
  get count(): number {
    return this.#slots.size;
  }

  /** The slot that holds `words`, uploaded on first use. */
  slot(words: Uint32Array<ArrayBuffer>): ParamsSlot {
    const key = words.join(",");
    const known = this.#slots.get(key);
    if (known) return known;
    const id = this.#slots.size;
    if (id >= this.#blocks.length * SLOTS) {
      const usage = USAGE.UNIFORM | USAGE.COPY_DST;
      this.#blocks.push(makeStorage(this.device, this.ledger, SLOT * SLOTS, usage, "params"));
    }
    const { buffer } = this.#blocks[Math.floor(id / SLOTS)];
    const slot = { buffer, offset: (id % SLOTS) * SLOT, size: words.byteLength, id };
    this.device.queue.writeBuffer(buffer, slot.offset, words);
    this.#slots.set(key, slot);
    return slot;
  }

  /** Forgets all slots. Work already submitted still completes. */
  clear(): void {
    this.#slots.clear();
    for (const block of this.#blocks) block.destroy();
    this.#blocks = [];
  }
}
