// Where the GPU's time goes, by kernel: each dispatch in a pass of its own between two timestamps.

import { DeviceError } from "../errors.ts";
import type { Device, DispatchTimer } from "./device.ts";
import { makeStorage, type Storage, USAGE } from "./storage.ts";

const QUERIES = 4096; // WebGPU's limit for one query set

/** Time spent in one kernel. */
export interface KernelTime {
  name: string;
  count: number;
  /** Milliseconds, all dispatches together. */
  ms: number;
}

/** Times every dispatch while it is a device's `profile`. */
export class Profile implements DispatchTimer {
  #querySet: GPUQuerySet;
  #names: string[] = [];
  #resolved: { names: string[]; storage: Storage }[] = [];

  /** @throws {DeviceError} when the device has no timestamp queries. */
  constructor(private readonly device: Device) {
    if (!device.features.has("timestamp-query")) {
      throw new DeviceError("Cannot profile as the device must have timestamp-query: it was not granted");
    }
    device.profile = this;
    this.#querySet = device.gpu.createQuerySet({ type: "timestamp", count: QUERIES });
  }

  /** Timestamps around the next dispatch; nothing once the query set is full until the next submit. */
  next(name: string): GPUComputePassTimestampWrites | undefined {
    const index = this.#names.length * 2;
    if (index + 2 > QUERIES) return undefined;
    this.#names.push(name);
    return { querySet: this.#querySet, beginningOfPassWriteIndex: index, endOfPassWriteIndex: index + 1 };
  }

  /** Records the copy of all timestamps so far; called at each submit. */
  resolve(encoder: GPUCommandEncoder): void {
    const names = this.#names;
    if (names.length === 0) return;
    this.#names = [];
    const usage = USAGE.QUERY_RESOLVE | USAGE.COPY_SRC;
    const storage = makeStorage(this.device.gpu, this.device.ledger, names.length * 16, usage, "timestamps");
    encoder.resolveQuerySet(this.#querySet, 0, names.length * 2, storage.buffer, 0);
    this.#resolved.push({ names, storage });
  }

  /** Ends the profile and says how long each kernel ran, longest first. */
  async results(): Promise<KernelTime[]> {
    if (this.device.profile === this) this.device.profile = undefined;
    const times = new Map<string, KernelTime>();
    for (const { names, storage } of this.#resolved) {
      const size = storage.size;
      const usage = USAGE.MAP_READ | USAGE.COPY_DST;
      const staging = makeStorage(this.device.gpu, this.device.ledger, size, usage, "timestamps");
      const encoder = this.device.gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(storage.buffer, 0, staging.buffer, 0, size);
      this.device.gpu.queue.submit([encoder.finish()]);
      await staging.buffer.mapAsync(1 /* GPUMapMode.READ */);
      const stamps = new BigUint64Array(staging.buffer.getMappedRange().slice(0));
      names.forEach((name, i) => {
        const time = times.get(name) ?? { name, count: 0, ms: 0 };
        time.count++;
        time.ms += Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6; // timestamps are nanoseconds
        times.set(name, time);
      });
      staging.destroy();
      storage.destroy();
    }
    this.#resolved = [];
    this.#querySet.destroy();
    await this.device.errors.check();
    return [...times.values()].sort((a, b) => b.ms - a.ms);
  }
}
