// Pipelines whose first picture finds its kernels compiled.

import assert from "node:assert/strict";
import type { PipelineLoadOptions } from "../../src/pipelines/components.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { GenerateOptions } from "../../src/pipelines/generate_options.ts";
import { PixArtSigmaPAGPipeline } from "../../src/pipelines/pixart_sigma_pag_pipeline.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { countCompiled } from "../_compiled.ts";
import { openDevice } from "../_device.ts";

const APPLE = "a red apple on a blue background";

/** Loads a pipeline on a device of its own and paints. @returns Names of the kernels that the picture had to wait for. */
async function missed(
  load: PipelineLoadOptions,
  call: GenerateOptions = {},
  pipelines: typeof PixArtSigmaPipeline = PixArtSigmaPipeline,
): Promise<string[]> {
  using device = await openDevice();
  const compiled = countCompiled(device);
  using pipe = await pipelines.fromPretrained(DEFAULT_MODEL, { device, ...load });
  await device.compiled();
  compiled.atOnce = [];
  const { kernelCount } = device;
  await pipe.generate(APPLE, { seed: 1, ...call });
  assert.equal(device.kernelCount - kernelCount, compiled.atOnce.length);
  return compiled.atOnce;
}

/** The same, told beforehand what will be painted. */
const missedOf = (call: GenerateOptions, load: PipelineLoadOptions = {}) =>
  missed({ ...load, rehearse: (pipe) => pipe.generate("something else", call) }, call);

Deno.test("fromPretrained() compiles all kernels of the first picture", async () => {
  assert.deepEqual(await missed({}), []);
});

Deno.test("fromPretrained() compiles nothing ahead when it is told not to", async () => {
  const names = await missed({ rehearse: null }, { numInferenceSteps: 2 });
  for (const name of ["embedding", "patchify", "to_pixels"]) assert.ok(names.includes(name), `${names}`);
});

Deno.test("fromPretrained() compiles all kernels of a picture that it is told of", async () => {
  assert.deepEqual(await missedOf({ height: 128, width: 64, numInferenceSteps: 3, guidanceScale: 1 }), []);
  const many = { numImagesPerPrompt: 3, outputType: "np", promptWeighting: true, vaeTiling: true } as const;
  assert.deepEqual(await missedOf({ ...many, height: 72, width: 136, numInferenceSteps: 2 }, { dtype: "f32" }), []);
});

Deno.test("fromPretrained() compiles all kernels where weights come and go with each stage", async () => {
  const budget = 1 << 20;
  const call = { numInferenceSteps: 2 };
  assert.deepEqual(await missedOf(call, { offload: true, textEncoderBudget: budget }), []);
  assert.deepEqual(await missedOf(call, { maxMemory: 10e6, quantize: { transformer: "int8" } }), []);
});

Deno.test("fromPretrained() compiles all kernels of a pipeline that calls in its own way", async () => {
  assert.deepEqual(await missed({}, {}, PixArtSigmaPAGPipeline), []);
});

Deno.test("fromPretrained() loads all the same when what it rehearses goes wrong", async () => {
  using device = await openDevice();
  const rehearse = () => Promise.reject(new Error("no such picture"));
  using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, rehearse });
  assert.ok(pipe.components.transformer.isLoaded);
});

Deno.test("fromPretrained() leaves nothing behind when it is aborted as it rehearses", async () => {
  using device = await openDevice();
  (await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, rehearse: null })).dispose(); // what devices keep
  const { bytes } = device.ledger;
  const cancel = new AbortController();
  const rehearse = () => Promise.resolve(cancel.abort());
  const loading = PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, rehearse, signal: cancel.signal });
  await assert.rejects(loading, { name: "AbortError" });
  assert.equal(device.ledger.bytes, bytes);
});
