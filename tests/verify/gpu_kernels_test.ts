// Networks with the kernels that GPUs run, wherever the tests run: tiles in workgroup memory, and tensor cores where the adapter has
// any. Recorded activations say what is right.

import assert from "node:assert/strict";
import { Device } from "../../src/gpu/device.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { golden } from "./_folders.ts";

for (const name of ["dit-sigma", "vae", "t5"]) {
  Deno.test(`verifyFolder() passes ${name} with the kernels of a GPU, in f32 and f16`, async () => {
    using device = await Device.open({ software: false });
    for (const [dtype, tolerance] of [["f32", 5e-6], ["f16", 8e-3]] as const) {
      const { ok, outputs } = await verifyFolder(golden(name), { device, dtype, tolerance });
      assert.ok(ok && outputs.length > 0, `${dtype}: ${JSON.stringify(outputs)}`);
    }
  });
}
