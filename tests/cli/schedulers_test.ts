import assert from "node:assert/strict";
import { findScheduler, makeScheduler, schedulerNames } from "../../src/cli/schedulers.ts";
import { ConfigError, UsageError } from "../../src/errors.ts";
import { DMD_SCHEDULER } from "../../src/pipelines/distilled_defaults.ts";
import { SCHEDULERS } from "../../src/schedulers/registry.ts";
import type { DPMSolverMultistepConfig } from "../../src/schedulers/dpm_solver_multistep.ts";
import type { Scheduler } from "../../src/schedulers/scheduler.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

// What PixArt's checkpoints hold.
const PIXART = {
  _class_name: "DPMSolverMultistepScheduler",
  algorithm_type: "dpmsolver++",
  beta_end: 0.02,
  beta_schedule: "linear",
  beta_start: 0.0001,
  num_train_timesteps: 1000,
  prediction_type: "epsilon",
  solver_order: 2,
  solver_type: "midpoint",
  timestep_spacing: "linspace",
  variance_type: null,
};

async function schedulerOf(name: string, checkpoint: unknown): Promise<Scheduler> {
  using folder = temporaryFolder();
  Deno.mkdirSync(`${folder.path}/scheduler`);
  Deno.writeTextFileSync(`${folder.path}/scheduler/scheduler_config.json`, JSON.stringify(checkpoint));
  return await makeScheduler(findScheduler(name), folder.path);
}

async function configOf(name: string, checkpoint: unknown): Promise<DPMSolverMultistepConfig> {
  return (await schedulerOf(name, checkpoint)).config as DPMSolverMultistepConfig;
}

Deno.test("findScheduler() knows every name, in any case of letters", () => {
  for (const name of schedulerNames()) assert.equal(findScheduler(name.toUpperCase()), findScheduler(name));
  assert.equal(findScheduler("dpm"), findScheduler("DPMSolverMultistepScheduler"));
  assert.throws(() => findScheduler("dmp"), (error) => {
    assert.ok(error instanceof UsageError);
    for (const name of schedulerNames()) assert.ok(error.message.includes(name));
    return true;
  });
});

Deno.test("makeScheduler() keeps the checkpoint's options and changes what its name says", async () => {
  const checkpoint = { beta_end: 0.03, solver_order: 3, use_exponential_sigmas: true, algorithm_type: "dpmsolver++" };
  const plain = await configOf("dpm", checkpoint);
  assert.equal(plain.betaEnd, 0.03);
  assert.equal(plain.useExponentialSigmas, true);
  const karras = await configOf("dpm-karras", checkpoint);
  assert.deepEqual(karras, { ...plain, useKarrasSigmas: true, useExponentialSigmas: false });
  const sde = await configOf("dpm-sde", checkpoint);
  assert.deepEqual(sde, { ...plain, algorithmType: "sde-dpmsolver++" });
});

Deno.test("makeScheduler() makes every scheduler for PixArt's checkpoints", async () => {
  const made = new Set<string>();
  for (const name of schedulerNames()) {
    const scheduler = await schedulerOf(name, PIXART);
    made.add(scheduler.constructor.name);
    scheduler.setTimesteps(20);
    assert.ok(scheduler.plan().length >= 20, name);
  }
  assert.deepEqual([...made].sort(), Object.keys(SCHEDULERS).sort());
  for (const name of Object.keys(SCHEDULERS)) {
    assert.equal((await schedulerOf(name, PIXART)).constructor.name, name);
  }
});

Deno.test("makeScheduler() gives each solver the variance that it knows", async () => {
  const varianceOf = async (name: string, given: unknown) =>
    ((await schedulerOf(name, { ...PIXART, variance_type: given })).config as { varianceType: unknown }).varianceType;
  assert.equal(await varianceOf("ddpm", null), "fixed_small");
  assert.equal(await varianceOf("ddpm", "fixed_large"), "fixed_large");
  assert.equal(await varianceOf("dpm", "fixed_small"), null);
  assert.equal(await varianceOf("sa", "learned_range"), "learned_range");
});

Deno.test("makeScheduler() leaves the clean sample of DMD as it is, whatever the checkpoint's scheduler would do", async () => {
  const checkpoint = { ...PIXART, variance_type: "learned_range", clip_sample: true, thresholding: true };
  const { config } = await schedulerOf("dmd", checkpoint);
  assert.deepEqual({ ...config, ...DMD_SCHEDULER }, config);
});

Deno.test("makeScheduler() gives the original's samplers the checkpoint's noise schedule, or refuses it", async () => {
  const cosine = { ...PIXART, beta_schedule: "squaredcos_cap_v2", beta_end: 0.5 };
  const { noiseSchedule } = (await schedulerOf("iddpm", cosine)).config as { noiseSchedule: string };
  assert.equal(noiseSchedule, "squaredcos_cap_v2");
  await assert.rejects(schedulerOf("iddpm", { ...PIXART, beta_end: 0.03 }), /betas from 0.0001 to 0.03 in 1000 steps/);
  await assert.rejects(schedulerOf("dpms", { ...PIXART, prediction_type: "v_prediction" }), ConfigError);
  await assert.rejects(schedulerOf("sa-original", { ...PIXART, beta_schedule: "scaled_linear" }), ConfigError);
});

Deno.test("makeScheduler() refuses a config that is no object, and one that is missing", async () => {
  await assert.rejects(configOf("dpm", [1]), ConfigError);
  await assert.rejects(makeScheduler(findScheduler("dpm"), "/nonexistent"), ConfigError);
});
