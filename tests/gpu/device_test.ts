import assert from "node:assert/strict";
import { DeviceError, ShapeError, UsageError } from "../../src/errors.ts";
import { Device } from "../../src/gpu/device.ts";
import { Profile } from "../../src/gpu/profile.ts";
import { read, readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import { add } from "../../src/ops/add.ts";
import { numbers } from "../_reference.ts";

Deno.test("Device.open() works with none of the optional features", async () => {
  using device = await Device.open({ features: [] });
  assert.equal(device.features.has("subgroups"), false);
  assert.equal(device.subgroupSize, 0);
  assert.deepEqual(device.subgroupMatrixConfigs, []);
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const y = add(rec, rec.upload(Float32Array.of(1, 2), [2]), rec.upload(Float32Array.of(3, 4), [2]));
  rec.submit();
  assert.deepEqual([...await read(device, y)], [4, 6]);
});

Deno.test("subgroupMatrixConfigs lists shapes and types where the device has subgroup matrices", async () => {
  using device = await Device.open();
  const has = device.features.has("chromium-experimental-subgroup-matrix");
  assert.equal(device.subgroupMatrixConfigs.length > 0, has);
  for (const { M, N, K, componentType, resultComponentType } of device.subgroupMatrixConfigs) {
    assert.ok(M > 0 && N > 0 && K > 0 && componentType !== "" && resultComponentType !== "");
  }
});

Deno.test("Device.open() takes any GPU object", async () => {
  using device = await Device.open({ gpu: navigator.gpu });
  using x = device.upload(Int32Array.of(-5, 7), [2]);
  assert.deepEqual([...(await readAll(device, [x]))[0]], [-5, 7]);
});

Deno.test("Device.open() names a backend that does not exist", async () => {
  await assert.rejects(Device.open({ backend: "metal" as "deno" }), (error) => {
    return error instanceof UsageError && error.message.includes('"metal"');
  });
});

Deno.test("Device.open() says that no adapter was found", async () => {
  const gpu = { requestAdapter: () => Promise.resolve(null) } as unknown as GPU;
  await assert.rejects(
    Device.open({ gpu }),
    (error) => error instanceof DeviceError && /none found/.test(error.message),
  );
});

Deno.test("Device frees every buffer on dispose", async () => {
  const device = await Device.open();
  const kept = device.upload(numbers(1000), [1000]);
  const rec = new Recorder(device);
  const scope = rec.scope();
  add(rec, kept, kept);
  rec.submit();
  await device.settle();
  assert.ok(device.ledger.bytes >= 8000);
  scope.dispose();
  device.dispose();
  assert.equal(device.ledger.bytes, 0);
  assert.equal(device.ledger.buffers, 0);
  assert.throws(() => device.tensor([4]), DeviceError);
});

Deno.test("Ledger follows tensors and remembers the peak", async () => {
  using device = await Device.open();
  const before = device.ledger.bytes;
  device.ledger.resetPeak();
  const a = device.tensor([1024]);
  const b = device.tensor([1024], "f16");
  assert.equal(device.ledger.bytes - before, 4096 + 2048);
  a.dispose();
  a.dispose();
  b.dispose();
  assert.equal(device.ledger.bytes, before);
  assert.equal(device.ledger.peak, before + 4096 + 2048);
});

Deno.test("Device.settle() throws a shader's error with its op's name", async () => {
  using device = await Device.open();
  device.kernel({ name: "broken_op", source: "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }" });
  await assert.rejects(device.settle(), (error) => error instanceof DeviceError && error.message.includes("broken_op"));
  await device.settle(); // the error is thrown once
});

Deno.test("Device.settle() throws when memory runs out", async () => {
  using device = await Device.open();
  assert.throws(
    () => device.tensor([Math.ceil(device.limits.maxBufferSize / 4) + 1]),
    (error) => error instanceof DeviceError && /at most/.test(error.message),
  );
});

Deno.test("Device throws once it was lost", async () => {
  using device = await Device.open();
  device.gpu.destroy();
  await device.gpu.lost;
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.throws(() => new Recorder(device), (error) => error instanceof DeviceError && /lost/.test(error.message));
});

Deno.test("Recorder.dispatch() refuses a disposed tensor and a wrong count of bindings", async () => {
  using device = await Device.open();
  const x = device.upload(numbers(8), [8]);
  const rec = new Recorder(device);
  using _scope = rec.scope();
  x.dispose();
  assert.throws(() => add(rec, x, x), (error) => error instanceof DeviceError && /disposed/.test(error.message));
  const kernel = device.kernel({
    name: "copy",
    source:
      "@group(0) @binding(0) var<storage, read_write> y: array<f32>; @compute @workgroup_size(1) fn main() { y[0] = 1.0; }",
  });
  assert.throws(() => rec.dispatch(kernel, { bindings: [], groups: [1] }), DeviceError);
});

Deno.test("Kernel.packParams() refuses fields that the kernel does not have", async () => {
  using device = await Device.open();
  const kernel = device.kernel({
    name: "scaled",
    source: `struct Params { count: u32, scale: f32 }
      @group(0) @binding(0) var<storage, read_write> y: array<f32>;
      @group(0) @binding(1) var<uniform> p: Params;
      @compute @workgroup_size(1) fn main() { y[0] = p.scale * f32(p.count); }`,
  });
  assert.throws(() => kernel.packParams({ count: 1 }), DeviceError);
  assert.throws(() => kernel.packParams({ count: 1, size: 2 }), DeviceError);
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const y = rec.tensor([1]);
  rec.dispatch(kernel, { bindings: [y], params: { count: 3, scale: 0.5 }, groups: [1] });
  rec.submit();
  assert.equal((await read(device, y))[0], 1.5);
});

Deno.test("Recorder.scoped() keeps its result and gives back the rest", async () => {
  using device = await Device.open();
  const rec = new Recorder(device);
  using scope = rec.scope();
  const x = rec.upload(numbers(4096), [4096]);
  let y = rec.scoped(() => add(rec, add(rec, x, x), x));
  for (let i = 0; i < 20; i++) y = rec.replace(y, (y) => add(rec, y, x));
  rec.submit();
  const expected = numbers(4096).map((value) => value * 23);
  const actual = await read(device, y);
  assert.ok(actual.every((value, i) => Math.abs(value - expected[i]) < 1e-4));
  // x, and three buffers that take turns: twenty steps need no more.
  assert.ok(device.arena.freeBytes <= 3 * 16384);
  scope.dispose();
  device.arena.trim();
  assert.equal(device.arena.freeBytes, 0);
});

Deno.test("Tensor.view() looks at part of a tensor and refuses to look beyond it", async () => {
  using device = await Device.open();
  using x = device.upload(Float32Array.from({ length: 128 }, (_, i) => i), [2, 64]);
  assert.equal((await read(device, x.view([64], 64)))[0], 64);
  assert.throws(() => x.view([65], 64), ShapeError);
  assert.throws(() => new Tensor(x.storage, [2.5], "f32"), ShapeError);
});

Deno.test("read() widens halves, denormals and infinities among them", async () => {
  using device = await Device.open();
  using x = device.tensor([5], "f16");
  device.write(x, new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00, 0x03ff, 0).buffer));
  assert.deepEqual([...await read(device, x)], [1, -2, 2 ** -24, Infinity, 1023 * 2 ** -24]);
});

Deno.test("Profile counts and times the dispatches of each kernel", async () => {
  using device = await Device.open();
  const profile = new Profile(device);
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const x = rec.upload(numbers(1 << 16), [1 << 16]);
  add(rec, add(rec, x, x), x);
  rec.submit();
  const [time, ...others] = await profile.results();
  assert.deepEqual([time.name, time.count, others.length], ["add", 2, 0]);
  assert.ok(time.ms > 0);
  assert.equal(device.profile, undefined);
});

Deno.test("equal parameters share a slot, and bind groups are made once", async () => {
  using device = await Device.open();
  using x = device.upload(numbers(64), [64]);
  using scope = device.arena.scope();
  for (let i = 0; i < 5; i++) {
    const rec = new Recorder(device).within(scope);
    const y = add(rec, x, x);
    rec.submit();
    y.dispose();
  }
  assert.equal(device.params.count, 1);
  assert.equal(device.bindGroups.size, 1);
  await device.settle();
});
