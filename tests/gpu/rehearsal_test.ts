// Work that is done without a GPU to find out which kernels it needs.

import assert from "node:assert/strict";
import { DeviceError } from "../../src/errors.ts";
import type { Device } from "../../src/gpu/device.ts";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { add } from "../../src/ops/add.ts";
import { SHIPPED_TILES, tilesOf, useTiles } from "../../src/ops/tile_tables.ts";
import { countCompiled } from "../_compiled.ts";
import { openDevice } from "../_device.ts";

const BROKEN = { name: "broken_op", source: "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }" };

/** Adds two tensors of so many numbers. */
function work(device: Device, count: number) {
  const rec = new Recorder(device);
  using scope = rec.scope();
  const x = rec.upload(new Float32Array(count).fill(1), [count]);
  const sum = add(rec, x, x);
  rec.submit();
  scope.release(sum);
  return sum;
}

Deno.test("Device.rehearsal() compiles what work needs, and takes no memory", async () => {
  using device = await openDevice();
  const compiled = countCompiled(device);
  const { bytes } = device.ledger;
  using rehearsal = device.rehearsal();
  assert.deepEqual([...await read(rehearsal, work(rehearsal, 4))], [0, 0, 0, 0]);
  await device.compiled();
  assert.equal(device.ledger.bytes, bytes);
  assert.deepEqual(compiled, { atOnce: [], ahead: ["add"] });
  assert.deepEqual([...await read(device, work(device, 4))], [2, 2, 2, 2]);
  assert.deepEqual(compiled, { atOnce: [], ahead: ["add"] });
});

Deno.test("Device.kernel() compiles at once what is still being compiled", async () => {
  using device = await openDevice();
  const compiled = countCompiled(device);
  using rehearsal = device.rehearsal();
  work(rehearsal, 4);
  assert.deepEqual([...await read(device, work(device, 4))], [2, 2, 2, 2]);
  assert.deepEqual(compiled, { atOnce: ["add"], ahead: ["add"] });
  await device.compiled();
});

Deno.test("Device.rehearsal() has the limits, features and tiles of its device", async () => {
  using device = await openDevice({ limits: { maxStorageBufferBindingSize: 1 << 20 }, software: false });
  useTiles(device, { ...SHIPPED_TILES });
  using rehearsal = device.rehearsal();
  assert.equal(tilesOf(rehearsal), tilesOf(device));
  const choices = ({ limits, features, subgroupSize, subgroupMatrixConfigs, software }: Device) => {
    return { limits, features: [...features].sort(), subgroupSize, subgroupMatrixConfigs, software };
  };
  assert.deepEqual(choices(rehearsal), choices(device));
  assert.throws(() => rehearsal.tensor([device.limits.maxBufferSize]), DeviceError);
});

Deno.test("Device.rehearsal() leaves the error of a kernel that does not compile to its use", async () => {
  using device = await openDevice();
  using rehearsal = device.rehearsal();
  rehearsal.kernel(BROKEN);
  await device.compiled();
  await device.settle();
  device.kernel(BROKEN);
  await assert.rejects(device.settle(), (error) => error instanceof DeviceError && error.message.includes("broken_op"));
});

Deno.test("Device.dispose() does not mind what is still being compiled, nor a rehearsal that goes on", async () => {
  const device = await openDevice();
  using rehearsal = device.rehearsal();
  work(rehearsal, 4);
  device.dispose();
  rehearsal.kernel(BROKEN);
  await device.compiled();
});
