// What the device can do at most, by two kernels that do nothing else: multiply-adds in registers, and a copy. In: a device.
// Out: operations and bytes a second; every result is checked.

import copySource from "./kernels/copy.wgsl" with { type: "text" };
import fmaSource from "./kernels/fma.wgsl" with { type: "text" };
import assert from "node:assert/strict";
import type { Device } from "../src/gpu/device.ts";
import type { KernelSource } from "../src/gpu/kernel.ts";
import { read } from "../src/gpu/readback.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { roundTrip, timeWork, type Work } from "./gpu_clock.ts";
import type { Ceilings } from "./report.ts";

const COPY: KernelSource = { name: "copy", source: copySource };
const FMA: KernelSource = { name: "fma", source: fmaSource };
const FMA_F16: KernelSource = { ...FMA, features: ["shader-f16"] };

const STEPS = 2048;
const COPIED_BYTES = 64 << 20;

async function seconds(device: Device, work: Work, emptyMs: number, signal?: AbortSignal): Promise<number> {
  const rec = new Recorder(device);
  work(rec);
  rec.submit();
  await device.settle();
  return (await timeWork(device, work, { emptyMs, signal })).minMs / 1000;
}

async function fmaRate(device: Device, elem: "f32" | "f16", emptyMs: number, signal?: AbortSignal): Promise<number> {
  const invocations = device.adapter.info.isFallbackAdapter ? 1 << 14 : 1 << 20;
  // Halving and adding a half: every chain runs to one, exactly in halves, too.
  using x = device.upload(Float32Array.from({ length: 8 }, () => 0.5), [8]);
  using y = device.tensor([invocations, 4]);
  const kernel = device.kernel(elem === "f16" ? FMA_F16 : FMA, { Elem: elem, STEPS });
  const work: Work = (rec) => rec.dispatch(kernel, { bindings: [x, y], groups: [invocations / 64] });
  const time = await seconds(device, work, emptyMs, signal);
  const result = await read(device, y.view([4], y.size - 64));
  assert.ok(result.every((value) => Math.abs(value - 2) < 1e-2), `the multiply-adds of ${elem} made ${result}`);
  return invocations * STEPS * 8 * 2 / time;
}

async function copyRate(device: Device, emptyMs: number, signal?: AbortSignal): Promise<number> {
  const count = COPIED_BYTES / 4;
  using x = device.tensor([count]);
  using y = device.tensor([count]);
  const last: Tensor = x.view([64], count - 64);
  device.write(last, new Float32Array(64).fill(7));
  const kernel = device.kernel(COPY);
  const work: Work = (rec) => rec.dispatch(kernel, { bindings: [x, y], groups: [count / 4 / 256] });
  const time = await seconds(device, work, emptyMs, signal);
  assert.ok((await read(device, y.view([64], count - 64))).every((value) => value === 7), "the copy lost its end");
  return 2 * COPIED_BYTES / time;
}

/** Measures the ceilings. */
export async function measureCeilings(device: Device, signal?: AbortSignal): Promise<Ceilings> {
  const roundTripMs = await roundTrip(device);
  const f32 = await fmaRate(device, "f32", roundTripMs, signal);
  const f16 = device.features.has("shader-f16") ? await fmaRate(device, "f16", roundTripMs, signal) : undefined;
  const copy = await copyRate(device, roundTripMs, signal);
  return { f32, f16, copy, roundTripMs };
}

/** The least milliseconds that so much arithmetic and so many bytes take. */
export function floorMs(ceilings: Ceilings, flops: number, bytes: number): number {
  return 1000 * Math.max(flops / ceilings.f32, bytes / ceilings.copy);
}
