// The time that recorded work takes on the GPU. In: a device and how to record the work. Out: a Timing.
// Two timestamps around the first and the last dispatch where the device has them; else the time on the wall of many repetitions in
// one submit, less that of an empty one, since a wait alone costs 10 ms in Deno.

import type { Device, DispatchTimer } from "../gpu/device.ts";
import { Recorder } from "../gpu/recorder.ts";
import { makeStorage, USAGE } from "../gpu/storage.ts";
import { measure, PATIENCE, type Patience, summarize, type Timing } from "./measure.ts";

/** Work to be timed: recorded, never submitted. What it makes lies in the recorder's scope. */
export type Work = (rec: Recorder) => unknown;

/** Milliseconds that one submit should take, so that what surrounds it does not count; a GPU's own clock sees little of that. */
const ROUND_MS = { cpu: 150, gpu: 40 };
const WARM_UP_MS = 200;
const MOST_REPETITIONS = 1024;

/** Timestamps before the first dispatch and behind the last: only these two get a pass of their own. */
class Span implements DispatchTimer {
  #seen = 0;
  readonly #querySet: GPUQuerySet;
  readonly #resolved;
  readonly #staging;

  /** @param count Dispatches that will be recorded; 0 only counts them. */
  constructor(device: Device, private readonly count: number) {
    const { gpu, ledger } = device;
    this.#querySet = gpu.createQuerySet({ type: "timestamp", count: 2 });
    this.#resolved = makeStorage(gpu, ledger, 16, USAGE.QUERY_RESOLVE | USAGE.COPY_SRC, "timestamps");
    this.#staging = makeStorage(gpu, ledger, 16, USAGE.MAP_READ | USAGE.COPY_DST, "timestamps");
  }

  next(): GPUComputePassTimestampWrites | undefined {
    const index = this.#seen++;
    const first = index === 0, last = index === this.count - 1;
    if (this.count === 0 || (!first && !last)) return undefined;
    return {
      querySet: this.#querySet,
      ...(first ? { beginningOfPassWriteIndex: 0 } : {}),
      ...(last ? { endOfPassWriteIndex: 1 } : {}),
    };
  }

  resolve(encoder: GPUCommandEncoder): void {
    if (this.count === 0) return;
    encoder.resolveQuerySet(this.#querySet, 0, 2, this.#resolved.buffer, 0);
    encoder.copyBufferToBuffer(this.#resolved.buffer, 0, this.#staging.buffer, 0, 16);
  }

  get seen(): number {
    return this.#seen;
  }

  async milliseconds(): Promise<number> {
    await this.#staging.buffer.mapAsync(1 /* GPUMapMode.READ */);
    const [start, end] = new BigUint64Array(this.#staging.buffer.getMappedRange());
    this.#staging.buffer.unmap();
    return Number(end - start) / 1e6;
  }

  dispose(): void {
    this.#querySet.destroy();
    this.#resolved.destroy();
    this.#staging.destroy();
  }
}

/** What one submit took: on the wall, on the host before the wait, and on the GPU where it says so. */
export interface RunTimes {
  wallMs: number;
  hostMs: number;
  gpuMs?: number;
  dispatches: number;
}

async function runOnce(device: Device, work: Work, repetitions: number, dispatches: number): Promise<RunTimes> {
  const span = device.features.has("timestamp-query") ? new Span(device, dispatches) : undefined;
  device.profile = span;
  try {
    const start = performance.now();
    const rec = new Recorder(device);
    // A scope for each repetition: they use the same memory one after another, as the steps of a picture do.
    for (let i = 0; i < repetitions; i++) {
      using _scope = rec.scope();
      work(rec);
    }
    rec.submit();
    const hostMs = performance.now() - start;
    await device.settle();
    const wallMs = performance.now() - start;
    const gpuMs = dispatches > 0 ? await span?.milliseconds() : undefined;
    return { wallMs, hostMs, gpuMs, dispatches: span?.seen ?? 0 };
  } finally {
    device.profile = undefined;
    span?.dispose();
  }
}

/** Milliseconds of an empty submit and its wait. */
export async function roundTrip(device: Device): Promise<number> {
  return summarize(await measure(async () => (await runOnce(device, () => {}, 1, 0)).wallMs)).minMs;
}

/** A Timing, and what the host did for it. */
export interface GpuTiming extends Timing {
  /** Least milliseconds of recording and submitting one repetition. */
  hostMs: number;
  /** Dispatches of one repetition; 0 where they were not counted. */
  dispatches: number;
}

/**
 * Times work that has run once already, so that its kernels are compiled.
 *
 * @param emptyMs What `roundTrip` says.
 */
export async function timeWork(
  device: Device,
  work: Work,
  { emptyMs, patience = PATIENCE, signal }: { emptyMs: number; patience?: Patience; signal?: AbortSignal },
): Promise<GpuTiming> {
  const first = await runOnce(device, work, 1, 0);
  const dispatches = first.dispatches;
  const round = ROUND_MS[device.software ? "cpu" : "gpu"];
  const repetitionsFor = (single: number) => Math.max(1, Math.min(MOST_REPETITIONS, Math.ceil(round / single)));
  const single = Math.max(first.wallMs - emptyMs, 0.01);
  let repetitions = repetitionsFor(single);
  // What takes longer than all rounds together has been measured by now.
  const runs: RunTimes[] = single > patience.budgetMs ? [first] : [];
  if (runs.length === 0) {
    // A GPU that has waited for the host runs slowly at first, and one run of short work is mostly the wait for its end.
    const warmUntil = performance.now() + (device.software ? 0 : WARM_UP_MS);
    while (performance.now() < warmUntil) {
      const { wallMs } = await runOnce(device, work, repetitions, 0);
      repetitions = repetitionsFor(Math.max(wallMs - emptyMs, 0.01) / repetitions);
    }
    await measure(
      async () => {
        const run = await runOnce(device, work, repetitions, dispatches * repetitions);
        runs.push(run);
        return run.gpuMs ?? run.wallMs;
      },
      patience,
      signal,
    );
  }
  const wall = runs.map(({ wallMs }) => Math.max(wallMs - emptyMs, 0.001) / repetitions);
  const gpu = runs.map(({ gpuMs }) => (gpuMs ?? 0) / repetitions);
  // A driver whose timestamps miss most of the time is not believed; short work on the wall is mostly waiting.
  const believed = Math.min(...gpu) > (Math.min(...wall) * repetitions > 50 ? 0.5 : 0.02) * Math.min(...wall);
  return {
    ...summarize(believed ? gpu : wall),
    repetitions,
    clock: believed ? "gpu" : "wall",
    hostMs: Math.min(...runs.map(({ hostMs }) => hostMs)) / repetitions,
    dispatches,
  };
}
