import assert from "node:assert/strict";
import type { Constants, KernelSource } from "../../src/gpu/kernel.ts";
import { selfTest } from "../../src/verify/self_test.ts";
import { device } from "../_device.ts";

Deno.test("selfTest() passes, and leaves no buffer in use behind", async () => {
  const { ok, rows, seconds } = await selfTest(device);
  assert.deepEqual(rows.filter((row) => !row.ok), []);
  assert.ok(ok && rows.length === 5 && seconds > 0);
  device.arena.trim();
  const { bytes } = device.ledger;
  await selfTest(device);
  device.arena.trim();
  assert.equal(device.ledger.bytes, bytes);
});

Deno.test("selfTest() fails for the kernel that is wrong, and only for that", async () => {
  const { kernel } = device;
  // Kernels that forget their mask.
  const forgetful = new Map<KernelSource, KernelSource>();
  const forget = (text: string) => text.replace("let hidden = mask[", "let hidden = 0.0 * mask[");
  device.kernel = (source: KernelSource, constants: Constants = {}) => {
    let changed = forgetful.get(source);
    if (!changed) {
      changed = { ...source, source: forget(source.source), shared: source.shared?.map(forget) };
      forgetful.set(source, changed);
    }
    return kernel.call(device, changed, constants);
  };
  try {
    const { ok, rows } = await selfTest(device);
    assert.equal(ok, false);
    assert.deepEqual(rows.filter((row) => !row.ok).map(({ op }) => op), ["attention, masked"]);
  } finally {
    device.kernel = kernel;
  }
});
