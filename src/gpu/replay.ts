// What a piece of work came to as it was recorded: the dispatches, and where they read and write. The steps of a picture come to the
// same, so that they can be told to the GPU again without asking the network, which takes the host half of a step's time or more.
// In: dispatches, and what they go by. Out: whether they hold again.

import type { Arena } from "./arena.ts";
import type { Kernel } from "./kernel.ts";
import type { Storage } from "./storage.ts";
import type { Tensor } from "./tensor.ts";

/** A dispatch as WebGPU is told of it. */
export interface Told {
  kernel: Kernel;
  group: GPUBindGroup;
  /** Where its parameters are, for a kernel that has such. */
  offset: number | undefined;
  /** Workgroups. */
  x: number;
  y: number;
  z: number;
}

/** What a piece of work goes by: whatever is named, and the places of the tensors that it is handed. */
export function placesOf(traits: readonly unknown[], tensors: readonly Tensor[]): unknown[] {
  const places = [...traits];
  for (const { storage, offset, bytes } of tensors) places.push(storage, offset, bytes);
  return places;
}

/** Dispatches as they are recorded. */
export class Recording {
  readonly told: Told[] = [];
  readonly used = new Set<Storage>();

  /**
   * What may be told again: nothing when the work keeps memory of the arena that it was not handed, since others may then use it.
   *
   * @param places What it went by, as `placesOf` says.
   */
  finish(arena: Arena, places: readonly unknown[]): Replay | undefined {
    const scratch: Storage[] = [];
    for (const storage of this.used) {
      if (arena.isFree(storage)) scratch.push(storage);
      else if (storage.destroyed || (arena.made(storage) && !places.includes(storage))) return undefined;
    }
    return new Replay(this.told, [...this.used], scratch, places);
  }
}

/** Dispatches that can be told again. */
export class Replay {
  /**
   * @param used All buffers that they read or write.
   * @param scratch Those that the work took from the arena and gave back.
   */
  constructor(
    readonly told: readonly Told[],
    readonly used: readonly Storage[],
    private readonly scratch: readonly Storage[],
    private readonly places: readonly unknown[],
  ) {}

  /** Whether work that goes by these places comes to the same now: its memory is there to be taken as it was. */
  holds(arena: Arena, places: readonly unknown[]): boolean {
    return places.length === this.places.length && places.every((place, i) => place === this.places[i]) &&
      this.scratch.every((storage) => arena.isFree(storage));
  }
}
