// Ops on a device whose bindings hold few bytes, so that small tensors go the way of large ones. The recorder refuses any binding
// that holds more.

import { read } from "../src/gpu/readback.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { openDevice } from "./_device.ts";

/** Runs `work` where a binding holds at most so many bytes, and reads its result. */
export async function runLimited(maxStorageBufferBindingSize: number, work: (rec: Recorder) => Tensor) {
  using device = await openDevice({ limits: { maxStorageBufferBindingSize } });
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const result = work(rec);
  rec.submit();
  return await read(device, result);
}
