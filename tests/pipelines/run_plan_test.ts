// The plan of a run that starts from a picture: which steps are left, and what latents hold before each of them.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { planRun, type RunPlan } from "../../src/pipelines/run_plan.ts";
import { schedulerFromConfig, SCHEDULERS } from "../../src/schedulers/registry.ts";
import type { Scheduler } from "../../src/schedulers/scheduler.ts";

const BETAS = { beta_schedule: "linear", beta_start: 0.0001, beta_end: 0.02, clip_sample: false, skip_prk_steps: true };
const ORIGINAL = ["DPMS", "IDDPM", "SASolverSampler"];

const scheduler = (name: string, config = {}): Scheduler =>
  schedulerFromConfig(ORIGINAL.includes(name) ? config : { ...BETAS, ...config }, name);

/** A sample as how much of the clean picture there is in it, of the noise that it began with, and of each noise drawn since. */
type Content = readonly number[];

/** What a sample holds after each step, when the model knows the noise in it exactly. */
function trajectory({ steps, levels }: RunPlan): Content[] {
  const size = steps.length + 2;
  const mix = (terms: readonly (readonly [number, Content])[]): Content =>
    Array.from({ length: size }, (_, i) => terms.reduce((sum, [factor, content]) => sum + factor * content[i], 0));
  let x: Content = mix([[levels[0].keep, [1]], [levels[0].add, [0, 1]]].map(([factor, content]) => {
    return [factor as number, Array.from({ length: size }, (_, i) => (content as number[])[i] ?? 0)];
  }));
  const history: Content[] = [];
  return steps.map((step, number) => {
    const output = x.map((part, i) => i === 0 ? 0 : part / levels[number].add);
    history.unshift(mix([[step.convert.sample, x], [step.convert.output, output]]));
    const drawn = x.map((_, i) => i === number + 2 ? 1 : 0);
    const kept = step.history.map((factor, age) => [factor, history[age]] as const);
    return x = mix([[step.sample, x], ...kept, [step.rawOutput ?? 0, output], [step.noise, drawn]]);
  });
}

// Some schedules end with the noise of the first training step in the sample.
const LAST_NOISE = 0.0101;
/** Samplers whose fresh noise is not what they take away, or is learned. */
const INEXACT = ["IDDPM", "SASolverScheduler", "SASolverSampler"];

Deno.test("planRun() tells what the samples of every scheduler hold after each model call", () => {
  for (const name of Object.keys(SCHEDULERS)) {
    if (INEXACT.includes(name)) continue;
    for (const strength of [1, 0.6, 0.25]) {
      const plan = planRun(scheduler(name), { numInferenceSteps: 12 }, strength);
      assert.equal(plan.levels.length, plan.steps.length + 1, name);
      for (const [i, [clean, ...noises]] of trajectory(plan).entries()) {
        const { keep, add } = plan.levels[i + 1];
        const off = Math.hypot(clean - keep, Math.hypot(...noises) - add) / Math.hypot(keep, add);
        const isLast = i === plan.steps.length - 1;
        assert.ok(off < (isLast ? LAST_NOISE : 1e-4), `${name}, strength ${strength}, call ${i}: ${off}`);
      }
    }
  }
});

Deno.test("planRun() runs the share of the steps that the strength asks for, from the clean end", () => {
  for (const name of Object.keys(SCHEDULERS)) {
    const made = scheduler(name);
    const all = planRun(made, { numInferenceSteps: 12 }).steps;
    const times = (strength: number) =>
      planRun(made, { numInferenceSteps: 12 }, strength).steps.map(({ timestep }) => timestep);
    assert.deepEqual(times(1), all.map(({ timestep }) => timestep), name);
    assert.deepEqual(times(0), [], name);
    assert.deepEqual(times(0.08), [], name); // less than a step
    // PNDM's list has the time of its second call twice.
    const left = all.slice(6 * made.callsPerStep + (name === "PNDMScheduler" ? 1 : 0)).map(({ timestep }) => timestep);
    assert.deepEqual([...new Set(times(0.5))], [...new Set(left)], name);
  }
});

Deno.test("planRun() counts chosen times and levels as the steps that the strength is a share of", () => {
  const plan = planRun(scheduler("DDPMScheduler"), { numInferenceSteps: 20, timesteps: [900, 600, 300, 100] }, 0.5);
  assert.deepEqual(plan.steps.map(({ timestep }) => timestep), [300, 100]);
  const euler = planRun(scheduler("EulerDiscreteScheduler"), { numInferenceSteps: 20, sigmas: [8, 4, 2, 1, 0] }, 0.5);
  assert.deepEqual(euler.levels.map(({ add }) => Math.round(add)), [2, 1, 0]);
});

Deno.test("planRun() hands eta to the scheduler, and refuses one that is no share", () => {
  const ddim = scheduler("DDIMScheduler");
  const noises = (eta?: number) => planRun(ddim, { numInferenceSteps: 4, eta }).steps.map(({ noise }) => noise);
  assert.ok(noises().every((noise) => noise === 0));
  const all = noises(1);
  assert.ok(all.slice(0, -1).every((noise) => noise > 0));
  noises(0.5).forEach((noise, i) => assert.ok(Math.abs(noise - all[i] / 2) < 1e-9));
  for (const eta of [-0.1, 1.5, NaN]) assert.throws(() => noises(eta), UsageError);
});

Deno.test("planRun() refuses to begin PNDM's Runge-Kutta start in the middle", () => {
  const pndm = scheduler("PNDMScheduler", { skip_prk_steps: false });
  assert.throws(() => planRun(pndm, { numInferenceSteps: 12 }, 0.5), /must begin at its first step/);
});
