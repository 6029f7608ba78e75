// A second device without optional features, on which every op takes its portable kernel.

import { Device } from "../../src/gpu/device.ts";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { device } from "../_device.ts";

/** Opened once per file. */
export const plainDevice = await Device.open({ features: [], software: true });
globalThis.addEventListener("unload", () => plainDevice.dispose());

/** Runs `work` on the device with all features and on the one with none, and returns both results. */
export async function runBoth(work: (rec: Recorder) => Tensor): Promise<Float32Array[]> {
  const results = [];
  for (const each of [device, plainDevice]) {
    const rec = new Recorder(each);
    using _scope = rec.scope();
    const result = work(rec);
    rec.submit();
    results.push(await read(each, result));
  }
  return results;
}
