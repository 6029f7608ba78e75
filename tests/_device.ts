// The device that a test file shares, others that choose kernels as it does, and short ways to put numbers on it. PIXART_BACKEND
// chooses the backend; with PIXART_TEST_SOFTWARE=false the kernels are those for a GPU wherever the tests run.

import { Device, type DeviceOptions } from "../src/gpu/device.ts";
import { read } from "../src/gpu/readback.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";

/** A device that chooses kernels as all tests do: what it computes may be compared with what another computes. */
export function openDevice(options: DeviceOptions = {}): Promise<Device> {
  const software = Deno.env.get("PIXART_TEST_SOFTWARE") === "false" ? false : undefined;
  return Device.open({ software, ...options });
}

/** Opened once per file; a machine without an adapter fails here. */
export const device = await openDevice();

/** Records `work` in a scope of its own, submits it, and reads its result. */
export async function run(work: (rec: Recorder) => Tensor): Promise<Float32Array> {
  const rec = new Recorder(device);
  using scope = rec.scope();
  const result = work(rec);
  rec.submit();
  const numbers = await read(device, result);
  scope.dispose();
  return numbers;
}
