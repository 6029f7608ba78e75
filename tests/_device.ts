// The device that a test file shares, and short ways to put numbers on it. PIXART_BACKEND chooses the backend; with
// PIXART_TEST_SOFTWARE=false the kernels are those for a GPU wherever the tests run.

import { Device } from "../src/gpu/device.ts";
import { read } from "../src/gpu/readback.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";

/** Opened once per file; a machine without an adapter fails here. */
export const device = await Device.open({
  software: Deno.env.get("PIXART_TEST_SOFTWARE") === "false" ? false : undefined,
});

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
