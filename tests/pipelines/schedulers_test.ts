// The pipeline with other schedulers than the checkpoint's own.

import assert from "node:assert/strict";
import { ConfigError, UsageError } from "../../src/errors.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { denoise } from "../../src/pipelines/denoising.ts";
import { classifierFree } from "../../src/pipelines/guidance.ts";
import { NoiseSource } from "../../src/pipelines/noise_source.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { schedulerFromConfig } from "../../src/schedulers/registry.ts";
import { device } from "../_device.ts";

const pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device });
const APPLE = "a red apple on a blue background";

/** The standard deviation of the latents that a scheduler paints in ten steps, and how many model calls it told of. */
async function paint(className: string, config: Record<string, unknown> = {}) {
  const scheduler = schedulerFromConfig({ beta_start: 0.0001, beta_end: 0.02, ...config }, className);
  const other = new PixArtSigmaPipeline({ ...pipe.components, scheduler });
  const told: [number, number][] = [];
  const { output } = await other.generate(APPLE, {
    numInferenceSteps: 10,
    seed: 0,
    outputType: "latent",
    onStep: ({ step, steps }) => told.push([step, steps]),
  });
  const calls = told.length;
  assert.deepEqual(told, told.map((_, index) => [index + 1, calls]));
  assert.ok(output!.data.every(Number.isFinite), className);
  const mean = output!.data.reduce((sum, value) => sum + value, 0) / output!.data.length;
  const squares = output!.data.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { calls, deviation: Math.sqrt(squares / output!.data.length) };
}

Deno.test("generate() paints with schedulers of every kind", async () => {
  const kinds: [string, number, Record<string, unknown>?][] = [
    ["HeunDiscreteScheduler", 19], // several calls a step, from noise of another scale
    ["PNDMScheduler", 11, { skip_prk_steps: true }], // one step made twice
    ["DDIMScheduler", 10, { clip_sample_range: 4 }], // the model's output beside a clipped sample
    ["IDDPM", 10], // the variance that the model learned
    ["SASolverScheduler", 10], // fresh noise
  ];
  for (const [className, calls, config] of kinds) {
    const painted = await paint(className, config);
    assert.equal(painted.calls, calls, className);
    assert.ok(painted.deviation > 0.8 && painted.deviation < 2.5, `${className}: ${painted.deviation}`);
  }
});

Deno.test("denoise() refuses a learned variance that the model does not predict", async () => {
  const { transformer } = pipe.components;
  const scheduler = schedulerFromConfig({}, "IDDPM");
  scheduler.setTimesteps(2);
  using prompt = await pipe.encodePrompt(APPLE);
  const noise = new NoiseSource(0);
  using latents = pipe.prepareLatents(1, pipe.defaultSize, noise);
  const plain = new Proxy(transformer, {
    get: (target, key) => {
      if (key === "config") return { ...target.config, outChannels: target.config.inChannels };
      const value = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const run = denoise(device, plain, { latents, prompt, plan: scheduler.plan(), guidance: classifierFree(4.5), noise });
  await assert.rejects(run.next(), (error) => {
    return error instanceof UsageError && /scaled by a variance/.test(error.message);
  });
});

Deno.test("fromPretrained() loads whichever scheduler the checkpoint names", async () => {
  const folder = await Deno.makeTempDir();
  const write = async (named: string | undefined, config: Record<string, unknown>) => {
    const index = named === undefined ? {} : { scheduler: ["diffusers", named] };
    await Deno.mkdir(`${folder}/scheduler`, { recursive: true });
    await Deno.writeTextFile(`${folder}/model_index.json`, JSON.stringify(index));
    await Deno.writeTextFile(`${folder}/scheduler/scheduler_config.json`, JSON.stringify(config));
    return await PixArtSigmaPipeline.fromPretrained(folder, { device, transformer: pipe.components.transformer });
  };
  try {
    const { scheduler } = (await write("LCMScheduler", { beta_end: 0.03 })).components;
    assert.equal(scheduler.constructor.name, "LCMScheduler");
    assert.equal((scheduler.config as { betaEnd: number }).betaEnd, 0.03);
    // An index that leaves it out leaves it to the config.
    const { scheduler: other } = (await write(undefined, { _class_name: "EulerDiscreteScheduler" })).components;
    assert.equal(other.constructor.name, "EulerDiscreteScheduler");
    await assert.rejects(write("RePaintScheduler", {}), ConfigError);
    await assert.rejects(write(undefined, {}), ConfigError);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
