// Uniform parameters, interned: equal words share one slot of one buffer, so that the second step of a picture uploads nothing.
// A dispatch says where its slot lies as it sets its bind group, which therefore serves all parameters of a block of slots.

import type { Ledger } from "./ledger.ts";
import { makeStorage, type Storage, USAGE } from "./storage.ts";
import { WordMap } from "./word_map.ts";

/** Bytes of a slot: the largest alignment of uniform offsets that WebGPU allows. */
export const SLOT_BYTES = 256;
const SLOT_WORDS = SLOT_BYTES / 4;
const SLOTS = 1024;

/** Where a set of parameters lies. */
export interface ParamsSlot {
  block: Storage;
  offset: number;
}

/** So many slots, on the GPU and as the host has them. */
interface Block {
  storage: Storage;
  words: Int32Array<ArrayBuffer>;
}

/** Slots of uniform memory, found by content. */
export class ParamsPool {
  #slots = new WordMap<ParamsSlot>();
  #blocks: Block[] = [];
  /** Slots that are on the GPU: new ones go there together. */
  #sent = 0;

  constructor(private readonly device: GPUDevice, private readonly ledger: Ledger) {}

  /** The number of different parameter sets held. */
  get count(): number {
    return this.#slots.size;
  }

  /** The slot that holds `words`, once `send` was called. */
  slot(words: Int32Array<ArrayBuffer>): ParamsSlot {
    const known = this.#slots.get(words, words.length);
    if (known) return known;
    const { count } = this;
    if (count >= this.#blocks.length * SLOTS) {
      const usage = USAGE.UNIFORM | USAGE.COPY_DST;
      const storage = makeStorage(this.device, this.ledger, SLOT_BYTES * SLOTS, usage, "params");
      this.#blocks.push({ storage, words: new Int32Array(SLOT_WORDS * SLOTS) });
    }
    const block = this.#blocks[Math.floor(count / SLOTS)], place = count % SLOTS;
    block.words.set(words, place * SLOT_WORDS);
    const slot = { block: block.storage, offset: place * SLOT_BYTES };
    this.#slots.add(words, words.length, slot);
    return slot;
  }

  /** Uploads the slots that are new since the last time; called before what uses them is submitted. */
  send(): void {
    while (this.#sent < this.count) {
      const { storage, words } = this.#blocks[Math.floor(this.#sent / SLOTS)];
      const first = this.#sent % SLOTS, slots = Math.min(SLOTS - first, this.count - this.#sent);
      const { queue } = this.device;
      queue.writeBuffer(storage.buffer, first * SLOT_BYTES, words, first * SLOT_WORDS, slots * SLOT_WORDS);
      this.#sent += slots;
    }
  }

  /** Forgets all slots. Work already submitted still completes. */
  clear(): void {
    this.#slots.clear();
    for (const { storage } of this.#blocks) storage.destroy();
    this.#blocks = [];
    this.#sent = 0;
  }
}
