// The samplers of the original repository against traces of its code: the folder's own, and for the rarer options
// `options.json`, recorded with the same model on 12 numbers.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { readJson } from "../../src/io/byte_source.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { DPMS } from "../../src/schedulers/original_dpms.ts";
import { IDDPM } from "../../src/schedulers/original_iddpm.ts";
import { SCHEDULERS } from "../../src/schedulers/registry.ts";
import { assertClose, runPlan, traceModel, traceVariance } from "./_runner.ts";

const golden = fileURLToPath(new URL("../golden/orig-samplers", import.meta.url));
const { cond, null: uncond, cfg_scale: scale } = await readJson(`${golden}/index.json`) as Record<string, number>;
// The condition is one number, added to the model's noise; guidance makes of the two conditions one.
const guided = 0.1 * (uncond + scale * (cond - uncond));

for (const steps of [14, 20]) {
  Deno.test(`DPMS matches the original with ${steps} steps`, async () => {
    using file = await openSafetensors(`${golden}/io.safetensors`);
    const sampler = new DPMS();
    sampler.setTimesteps(steps);
    assert.deepEqual(sampler.timesteps, Array.from(await readFloats(file, `dpms.${steps}.model_timesteps`)));
    const start = await readFloats(file, "in.z");
    const samples = runPlan(sampler.plan(), start, 1, (x, timestep) => traceModel(x, timestep) + guided);
    assertClose(samples[steps - 1], await readFloats(file, `dpms.${steps}.out`), 1e-5, "out");
  });
}

Deno.test("IDDPM matches the original with 20 steps and a learned variance", async () => {
  using file = await openSafetensors(`${golden}/io.safetensors`);
  const sampler = new IDDPM();
  sampler.setTimesteps(20);
  const bytes = await file.read("iddpm.20.model_timesteps");
  assert.deepEqual(sampler.timesteps, Array.from(new Float64Array(bytes.slice().buffer)));
  const [start, noise] = [await readFloats(file, "in.z"), await readFloats(file, "iddpm.20.noise")];
  let drawn = 0;
  const draw = () => noise.slice(drawn * start.length, ++drawn * start.length);
  const model = (x: number, timestep: number) => traceModel(x, timestep) + 0.1 * cond;
  const samples = runPlan(sampler.plan(), start, 1, model, draw, traceVariance);
  assert.equal(drawn, 20);
  assertClose(samples[19], await readFloats(file, "iddpm.20.out"), 1e-5, "out");
});

interface OptionTrace {
  sampler: string;
  config: Record<string, unknown>;
  steps: number;
  timesteps: number[];
  in: number[];
  out: number[];
  noises?: number[][];
}

const options = await readJson(`${golden}/options.json`) as Record<string, OptionTrace>;
// The original works out its coefficients in float32 from differences of close numbers; the higher orders show it.
const OPTION_TOLERANCE = 3e-5;
for (const [name, trace] of Object.entries(options)) {
  Deno.test(`${trace.sampler} matches the original with options: ${name.split(": ")[1]}`, () => {
    const sampler = SCHEDULERS[trace.sampler].fromConfig(trace.config);
    assert.deepEqual(sampler.unknownConfigKeys, []);
    sampler.setTimesteps(trace.steps);
    assertClose(sampler.timesteps, trace.timesteps, 1e-6, "timesteps");
    const drawn = [...trace.noises ?? []];
    const samples = runPlan(
      sampler.plan(),
      Float32Array.from(trace.in),
      2,
      traceModel,
      () => Float32Array.from(drawn.shift()!),
      traceVariance,
    );
    assert.equal(drawn.length, 0, "as many noises were drawn");
    assertClose(samples[samples.length - 1], trace.out, OPTION_TOLERANCE, "out");
  });
}
