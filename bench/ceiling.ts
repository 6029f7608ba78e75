// What the device can do at most, by two kernels that do nothing else: multiply-adds in registers, and a copy. In: a device.
// Out: operations and bytes a second; every result is checked.

import copySource from "./kernels/copy.wgsl" with { type: "text" };
import fmaSource from "./kernels/fma.wgsl" with { type: "text" };
import matrixSource from "./kernels/matrix.wgsl" with { type: "text" };
import assert from "node:assert/strict";
import { SUBGROUP_MATRIX } from "../src/gpu/backend.ts";
import type { Device } from "../src/gpu/device.ts";
import type { KernelSource } from "../src/gpu/kernel.ts";
import { read } from "../src/gpu/readback.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import type { Tensor } from "../src/gpu/tensor.ts";
import { f32ToF16 } from "../src/io/half.ts";
import { matrixShape } from "../src/ops/matmul_variants.ts";
import { roundTrip, timeWork, type Work } from "../src/tune/gpu_clock.ts";
import type { Ceilings, Row } from "./report.ts";

const COPY: KernelSource = { name: "copy", source: copySource };
const FMA: KernelSource = { name: "fma", source: fmaSource };
const FMA_F16: KernelSource = { ...FMA, features: ["shader-f16"] };
const MATRIX: KernelSource = {
  name: "matrix",
  source: matrixSource,
  features: ["shader-f16", "subgroups", SUBGROUP_MATRIX],
};

const STEPS = 8192;
const COPIED_BY_ROW = 16 << 20, ROW_GROUPS = COPIED_BY_ROW / 16 / 256;
const MATRIX_SUBGROUPS = 4;

/** What fills a device and keeps it busy for some milliseconds, yet no weak one for a second: a CPU wants less. */
const extents = ({ software, limits }: Device) => {
  if (software) return { invocations: 1 << 14, bytes: 64 << 20 };
  return { invocations: 1 << 18, bytes: Math.min(256 << 20, limits.maxStorageBufferBindingSize, limits.maxBufferSize) };
};

async function seconds(device: Device, work: Work, emptyMs: number, signal?: AbortSignal): Promise<number> {
  const rec = new Recorder(device);
  work(rec);
  rec.submit();
  await device.settle();
  return (await timeWork(device, work, { emptyMs, signal })).minMs / 1000;
}

async function fmaRate(device: Device, elem: "f32" | "f16", emptyMs: number, signal?: AbortSignal): Promise<number> {
  const { invocations } = extents(device);
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
  const rows = Math.floor(extents(device).bytes / COPIED_BY_ROW), count = rows * COPIED_BY_ROW / 4;
  using x = device.tensor([count]);
  using y = device.tensor([count]);
  const last: Tensor = x.view([64], count - 64);
  device.write(last, new Float32Array(64).fill(7));
  const kernel = device.kernel(COPY);
  const work: Work = (rec) => rec.dispatch(kernel, { bindings: [x, y], groups: [ROW_GROUPS, rows] });
  const time = await seconds(device, work, emptyMs, signal);
  assert.ok((await read(device, y.view([64], count - 64))).every((value) => value === 7), "the copy lost its end");
  return 2 * 4 * count / time;
}

async function matrixRate(device: Device, emptyMs: number, signal?: AbortSignal): Promise<number | undefined> {
  const shape = matrixShape(device);
  if (!shape) return undefined;
  const { MATRIX_M: M, MATRIX_N: N, MATRIX_K: K, SUBGROUP_SIZE } = shape;
  const groups = device.software ? 4 : 4096, subgroups = groups * MATRIX_SUBGROUPS;
  // Factors of ones and of twos: the last of the four sums is of fours.
  const factors = [[M * K, 1], [M * K, 2], [K * N, 1], [K * N, 2]].flatMap(([count, value]) =>
    Array(count).fill(value)
  );
  using words = device.upload(new Uint32Array(f32ToF16(Float32Array.from(factors)).buffer), [M * K + K * N]);
  using y = device.tensor([subgroups * 4 * M * N]);
  const constants = { M, N, K, STEPS, SUBGROUPS: MATRIX_SUBGROUPS, SUBGROUP_SIZE };
  const kernel = device.kernel(MATRIX, constants);
  const work: Work = (rec) => rec.dispatch(kernel, { bindings: [words, y], groups: [groups] });
  const time = await seconds(device, work, emptyMs, signal);
  const result = await read(device, y.view([M * N], y.size - M * N));
  assert.ok(result.every((value) => value === 4 * STEPS * K), `the products of matrices made ${result[0]}`);
  return subgroups * STEPS * 4 * 2 * M * N * K / time;
}

/** Measures the ceilings. */
export async function measureCeilings(device: Device, signal?: AbortSignal): Promise<Ceilings> {
  const roundTripMs = await roundTrip(device);
  const f32 = await fmaRate(device, "f32", roundTripMs, signal);
  const f16 = device.features.has("shader-f16") ? await fmaRate(device, "f16", roundTripMs, signal) : undefined;
  const copy = await copyRate(device, roundTripMs, signal);
  const matrix = await matrixRate(device, roundTripMs, signal);
  return { f32, f16, matrix, copy, roundTripMs };
}

/** The least milliseconds that so much arithmetic and so many bytes take; what keeps its weights as f32 computes in f32. */
export function floorMs(ceilings: Ceilings, { dtype, flops, bytes }: Pick<Row, "dtype" | "flops" | "bytes">): number {
  const { f32, f16 = 0, matrix = 0, copy } = ceilings;
  return 1000 * Math.max(flops / (dtype === "f32" ? f32 : Math.max(f32, f16, matrix)), bytes / copy);
}
