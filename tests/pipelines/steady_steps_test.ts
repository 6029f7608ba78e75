// What the host does in each step of a run: after the first, nothing is made, hardly anything goes up, all is one submit, and the
// blocks are told again, not asked.

import assert from "node:assert/strict";
import type { Device } from "../../src/gpu/device.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { SCHEDULERS } from "../../src/schedulers/registry.ts";
import { openDevice } from "../_device.ts";

const MAKING = [
  "createBindGroup",
  "createBindGroupLayout",
  "createBuffer",
  "createComputePipeline",
  "createComputePipelineAsync",
  "createPipelineLayout",
  "createShaderModule",
] as const;

// The solver, the modulation of the blocks and of the way out, and the count of what is not finite differ from step to step.
const DIFFERING_BYTES = 4 * 256;

// The way into the transformer, the modulation, the way out, and the solver; some devices take one more to pack their input.
const DISPATCHES_AROUND = 12;

/** Calls of a device and its queue, by name, and the bytes written, until they are taken. */
function countCalls(device: Device): () => Record<string, number> {
  let calls: Record<string, number> = {};
  const count = <Target extends object>(target: Target, name: keyof Target & string) => {
    const method = target[name] as (...given: unknown[]) => unknown;
    Object.defineProperty(target, name, {
      value: (...given: unknown[]) => {
        calls[name] = (calls[name] ?? 0) + 1;
        if (name === "writeBuffer") calls.bytes = (calls.bytes ?? 0) + bytesOf(given);
        return method.apply(target, given);
      },
    });
  };
  for (const name of MAKING) count(device.gpu, name);
  for (const name of ["submit", "writeBuffer"] as const) count(device.gpu.queue, name);
  count(device, "kernel");
  return () => {
    const taken = calls;
    calls = {};
    return taken;
  };
}

/** Bytes that a call of writeBuffer sends: `(buffer, offset, data, first, count)`, the last two in elements of the data. */
function bytesOf([, , data, , count]: unknown[]): number {
  return count as number * (data instanceof ArrayBuffer ? 1 : (data as Int32Array).BYTES_PER_ELEMENT);
}

/** The calls of each step of a guided run. */
async function callsOfSteps(device: Device, scheduler?: string): Promise<Record<string, number>[]> {
  using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, dtype: "f16" });
  const take = countCalls(device);
  const steps: Record<string, number>[] = [];
  await using _run = { [Symbol.asyncDispose]: () => device.settle() };
  await new PixArtSigmaPipeline({
    ...pipe.components,
    ...(scheduler ? { scheduler: SCHEDULERS[scheduler].fromConfig({}) } : {}),
  }).generate("a red apple", {
    seed: 1,
    guidanceScale: 4.5,
    numInferenceSteps: 6,
    outputType: "latent",
    onStep: () => {
      steps.push(take());
    },
  });
  return steps;
}

for (const [kernels, options] of [["this device's kernels", {}], ["a GPU's", { software: false }]] as const) {
  Deno.test(`generate() makes nothing after the first step with ${kernels}, and submits each step once`, async () => {
    using device = await openDevice(options);
    const [first, ...others] = await callsOfSteps(device);
    assert.ok(first.createBindGroup > 0 && first.createBuffer > 0, "the calls are not seen");
    assert.equal(others.length, 5);
    for (const { bytes, kernel, ...calls } of others) {
      assert.deepEqual(calls, { submit: 1, writeBuffer: 1 });
      assert.ok(bytes <= DIFFERING_BYTES, `${bytes} bytes`);
      assert.ok(kernel <= DISPATCHES_AROUND, `${kernel} kernels are asked for`);
    }
  });
}

Deno.test("generate() uploads each step's noise to the same place", async () => {
  using device = await openDevice();
  const steps = await callsOfSteps(device, "EulerAncestralDiscreteScheduler");
  // The last step adds no noise, so that its solver binds something else.
  for (const { bytes: _bytes, kernel: _kernel, ...calls } of steps.slice(1, -1)) {
    assert.deepEqual(calls, { submit: 1, writeBuffer: 2 });
  }
});
