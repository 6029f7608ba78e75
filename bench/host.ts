// What the host spends a dispatch: many dispatches of a kernel that does next to nothing, recorded and submitted, before any wait.

import type { Device } from "../src/gpu/device.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import { add } from "../src/ops/add.ts";
import { measure, summarize } from "./measure.ts";

const DISPATCHES = 500;

/** Microseconds of host time a dispatch. */
export async function dispatchCost(device: Device, signal?: AbortSignal): Promise<number> {
  using x = device.upload(new Float32Array(64), [1, 64]);
  using y = device.upload(new Float32Array(64), [1, 64]);
  const times = await measure(
    async () => {
      const start = performance.now();
      const rec = new Recorder(device);
      for (let i = 0; i < DISPATCHES; i++) {
        using _scope = rec.scope();
        add(rec, x, y);
      }
      rec.submit();
      const ms = performance.now() - start;
      await device.settle();
      return ms;
    },
    undefined,
    signal,
  );
  return summarize(times).minMs * 1000 / DISPATCHES;
}
