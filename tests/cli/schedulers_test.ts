import assert from "node:assert/strict";
import { findScheduler, makeScheduler, schedulerNames } from "../../src/cli/schedulers.ts";
import { ConfigError, UsageError } from "../../src/errors.ts";
import type { DPMSolverMultistepConfig } from "../../src/schedulers/dpm_solver_multistep.ts";
import { temporaryFolder } from "./_cli.ts";

async function configOf(name: string, checkpoint: unknown): Promise<DPMSolverMultistepConfig> {
  using folder = temporaryFolder();
  Deno.mkdirSync(`${folder.path}/scheduler`);
  Deno.writeTextFileSync(`${folder.path}/scheduler/scheduler_config.json`, JSON.stringify(checkpoint));
  return (await makeScheduler(findScheduler(name), folder.path)).config as DPMSolverMultistepConfig;
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

Deno.test("makeScheduler() refuses a config that is no object, and one that is missing", async () => {
  await assert.rejects(configOf("dpm", [1]), ConfigError);
  await assert.rejects(makeScheduler(findScheduler("dpm"), "/nonexistent"), ConfigError);
});
