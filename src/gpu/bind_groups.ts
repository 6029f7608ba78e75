// Bind groups, made once for a kernel and the places that it reads and writes: a network's steps use the same memory, so that from
// the second on all are found. In: a kernel, tensors, where the parameters are. Out: a bind group.

import { DeviceError } from "../errors.ts";
import type { ErrorLog } from "./errors.ts";
import type { Kernel } from "./kernel.ts";
import { SLOT_BYTES } from "./params.ts";
import type { Replay } from "./replay.ts";
import type { Storage } from "./storage.ts";
import type { Tensor } from "./tensor.ts";
import { WordMap } from "./word_map.ts";

/** The bind groups of one device. */
export class BindGroups {
  readonly #groups = new WordMap<GPUBindGroup>();
  #replays = new WeakMap<object, Replay>();
  /** Where keys are made; a stage has 50 buffers or so at most, and each takes three words. */
  readonly #words = new Int32Array(256);

  /**
   * @param limit Bytes that a binding may have.
   * @param absent Gives what is bound where a tensor is absent.
   */
  constructor(
    private readonly device: GPUDevice,
    private readonly errors: ErrorLog,
    private readonly limit: number,
    private readonly absent: () => Tensor,
  ) {}

  /** How many there are. */
  get size(): number {
    return this.#groups.size;
  }

  /** What work came to, by what owns it. */
  get replays(): WeakMap<object, Replay> {
    return this.#replays;
  }

  /** Forgets all, and all replays with them. Work already recorded keeps its own. */
  clear(): void {
    this.#groups.clear();
    this.#replays = new WeakMap();
  }

  /**
   * The bind group of these tensors.
   *
   * @param params The block of parameters, for a kernel that has such.
   * @throws {DeviceError} when a tensor was disposed, or is larger than a binding.
   */
  of(kernel: Kernel, bindings: readonly (Tensor | undefined)[], params?: Storage): GPUBindGroup {
    const words = this.#words;
    let length = 0;
    words[length++] = kernel.id;
    words[length++] = params ? params.id : 0;
    for (let i = 0; i < bindings.length; i++) {
      const { storage, offset, bytes } = bindings[i] ?? this.absent();
      words[length++] = storage.id;
      words[length++] = offset / 4;
      words[length++] = bytes / 4;
    }
    let group = this.#groups.get(words, length);
    if (!group) {
      group = this.#make(kernel, bindings.map((tensor) => tensor ?? this.absent()), params);
      this.#groups.add(words, length, group);
    }
    return group;
  }

  #make(kernel: Kernel, tensors: readonly Tensor[], params: Storage | undefined): GPUBindGroup {
    const { limit } = this;
    for (const tensor of tensors) {
      if (tensor.storage.destroyed) {
        throw new DeviceError(`Cannot bind ${tensor} to ${kernel.name} as its buffer must be alive: it was disposed`);
      }
      if (tensor.bytes > limit) {
        throw new DeviceError(
          `Cannot bind ${tensor} to ${kernel.name} as a binding holds at most ${limit} bytes: ${tensor.bytes}`,
        );
      }
    }
    const entries: GPUBindGroupEntry[] = tensors.map(({ storage, offset, bytes }, binding) => ({
      binding,
      // A view may end on half a vec4; whole vectors are bound where the buffer has them.
      resource: {
        buffer: storage.buffer,
        offset,
        size: Math.min(Math.ceil(Math.max(bytes, 4) / 16) * 16, storage.size - offset),
      },
    }));
    if (params) entries.push({ binding: tensors.length, resource: { buffer: params.buffer, size: SLOT_BYTES } });
    return this.errors.during(
      `bind ${tensors.join(", ")} to ${kernel.name}`,
      () => this.device.createBindGroup({ label: kernel.name, layout: kernel.layout, entries }),
    );
  }
}
