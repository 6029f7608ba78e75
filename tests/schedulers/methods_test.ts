// The parts that the schedulers are made of, and what single methods promise beyond their traces.

import assert from "node:assert/strict";
import { DDIMScheduler } from "../../src/schedulers/ddim.ts";
import { DDPMScheduler } from "../../src/schedulers/ddpm.ts";
import { DPMSolverSinglestepScheduler } from "../../src/schedulers/dpm_solver_singlestep.ts";
import { ancestralLevels } from "../../src/schedulers/euler_ancestral_discrete.ts";
import { inferenceTimesteps } from "../../src/schedulers/inference_timesteps.ts";
import { distinctLength, lagrangeIntegrals } from "../../src/schedulers/lagrange_integrals.ts";
import { LCMScheduler } from "../../src/schedulers/lcm.ts";
import { middleSigma } from "../../src/schedulers/midpoint_scheduler.ts";
import { respacedTimesteps } from "../../src/schedulers/original_iddpm.ts";
import { ContinuousSchedule, originalAlphas } from "../../src/schedulers/original_schedule.ts";
import { PNDMScheduler } from "../../src/schedulers/pndm.ts";
import { learnedNoise, posterior } from "../../src/schedulers/posterior.ts";
import { correctAndPredict } from "../../src/schedulers/predictor_corrector.ts";
import { SASolverScheduler } from "../../src/schedulers/sa_solver.ts";
import { interpolate } from "../../src/schedulers/spacing.ts";
import { assertClose } from "./_runner.ts";

Deno.test("lagrangeIntegrals() integrates what the polynomials can be", () => {
  const nodes = [3, 1.5, -0.2, -1];
  const cubic = (x: number) => 2 - x + 0.5 * x ** 2 - 0.3 * x ** 3;
  const whole = (x: number) => 2 * x - x ** 2 / 2 + x ** 3 / 6 - 0.3 * x ** 4 / 4;
  const weights = lagrangeIntegrals(nodes, -1, 4);
  const sum = weights.reduce((total, weight, index) => total + weight * cubic(nodes[index]), 0);
  assertClose([sum], [whole(4) - whole(-1)], 1e-13, "integral");
  assertClose(lagrangeIntegrals([0], -5, 5, Math.exp), [Math.exp(5) - Math.exp(-5)], 1e-13, "weighted");
});

Deno.test("distinctLength() ends before a value that repeats", () => {
  assert.deepEqual([[], [1], [1, 1, 2], [3, 2, 2], [3, 2, 1]].map(distinctLength), [0, 1, 1, 2, 3]);
});

Deno.test("interpolate() lies between two neighbours and stays inside", () => {
  assert.deepEqual([-3, 0, 0.5, 1.25, 2, 9].map((place) => interpolate(place, [1, 3, 7])), [1, 1, 2, 4, 7, 7]);
});

Deno.test("inferenceTimesteps() ends at the cleanest step", () => {
  assert.deepEqual(inferenceTimesteps("linspace", 3, 1000, 0), [999, 499.5, 0]);
  assert.deepEqual(inferenceTimesteps("leading", 4, 1000, 1), [751, 501, 251, 1]);
  assert.deepEqual(inferenceTimesteps("trailing", 4, 1000, 0), [999, 749, 499, 249]);
});

Deno.test("correctAndPredict() is what both moves give one after the other", () => {
  const last = { sample: 0.9, history: [0.3, -0.1], noise: 0 };
  const correction = [0.2, 0.05, -0.02];
  const move = { sample: 0.8, history: [0.4, -0.2], noise: 0.5 };
  const [y, m] = [1.7, [0.6, -1.1, 0.4]];
  const x = last.sample * y + last.history[0] * m[1] + last.history[1] * m[2];
  const corrected = last.sample * y + correction.reduce((sum, factor, age) => sum + factor * m[age], 0);
  const expected = move.sample * corrected + move.history[0] * m[0] + move.history[1] * m[1];
  const step = correctAndPredict(move, correction, last.history);
  const actual = step.history.reduce((sum, factor, age) => sum + factor * m[age], step.sample * x);
  assertClose([actual], [expected], 1e-14, "sample");
  assert.equal(step.noise, 0.5);
});

Deno.test("posterior() has the variance of the noisier sample when its own is added", () => {
  const [alpha, next] = [0.3, 0.7];
  const { clean, sample, variance } = posterior(alpha, next);
  // Of a clean sample c and x = sqrt(alpha) c + sqrt(1 - alpha) z, the step makes sqrt(next) c + sqrt(1 - next) z'.
  assertClose([clean + sample * Math.sqrt(alpha)], [Math.sqrt(next)], 1e-14, "signal");
  assertClose([sample ** 2 * (1 - alpha) + variance], [1 - next], 1e-14, "noise");
});

Deno.test("learnedNoise() lies between the bounds as v lies between -1 and 1", () => {
  const { noise, noiseScale } = learnedNoise(0.01, 0.09);
  const at = (v: number) => noise * Math.exp(noiseScale.slope * v);
  assertClose([at(-1), at(0), at(1)], [0.1, Math.sqrt(0.03), 0.3], 1e-14, "noise");
});

Deno.test("ancestralLevels() keep the variance of the next level", () => {
  const { down, up } = ancestralLevels(14, 6);
  assertClose([down ** 2 + up ** 2, down], [36, 36 / 14], 1e-6, "levels");
  assert.deepEqual(ancestralLevels(3, 0), { down: 0, up: 0 });
});

Deno.test("middleSigma() is the geometric mean, and 0 beside 0", () => {
  assertClose([middleSigma(8, 2)], [4], 1e-6, "middle");
  assert.equal(middleSigma(8, 0), 0);
});

Deno.test("respacedTimesteps() spaces as the original does", () => {
  assert.deepEqual(respacedTimesteps(1000, "5"), [0, 250, 500, 749, 999]);
  assert.deepEqual(respacedTimesteps(10, "3,2,1"), [0, 2, 3, 4, 6, 7]);
  assert.deepEqual(respacedTimesteps(10, "ddim4"), [0, 3, 6, 9]);
  assert.equal(respacedTimesteps(10, "11"), undefined);
  assert.equal(respacedTimesteps(1000, "ddim600"), undefined);
});

Deno.test("ContinuousSchedule meets the training steps and inverts lambda", () => {
  const alphas = originalAlphas("linear", 1000);
  const schedule = new ContinuousSchedule(alphas);
  const { alpha, sigma } = schedule.level(0.5);
  assertClose([alpha ** 2, sigma ** 2], [alphas[499], 1 - alphas[499]], 1e-6, "level");
  assertClose([schedule.timeAt(Math.log(alpha / sigma))], [0.5], 1e-5, "time");
  assertClose([schedule.modelTime(0.5), schedule.timeOf(499)], [499, 0.5], 1e-6, "model time");
  // The cosine schedule's noisiest steps are left out.
  assert.ok(new ContinuousSchedule(originalAlphas("squaredcos_cap_v2", 1000)).steps < 1000);
});

Deno.test("DDIMScheduler needs the raw output only beside a clipped sample", () => {
  const make = (options: Record<string, unknown>) => {
    const scheduler = DDIMScheduler.fromConfig(options);
    scheduler.setTimesteps(5);
    return scheduler;
  };
  assert.ok(make({}).plan().every((step) => step.rawOutput !== undefined));
  assert.ok(make({}).plan({ useClippedModelOutput: true }).every((step) => step.rawOutput === undefined));
  assert.ok(make({ clip_sample: false }).plan().every((step) => step.rawOutput === undefined));
});

Deno.test("DDPMScheduler reads a variance only where the config says that one is learned", () => {
  const scale = (varianceType: DDPMScheduler["config"]["varianceType"]) => {
    const scheduler = new DDPMScheduler({ varianceType });
    scheduler.setTimesteps(2);
    return scheduler.plan().map((step) => step.noiseScale?.kind);
  };
  assert.deepEqual(scale("fixed_large_log"), [undefined, undefined]);
  assert.deepEqual(scale("learned"), ["root", undefined]);
  assert.deepEqual(scale("learned_range"), ["exponential", undefined]);
});

Deno.test("DPMSolverSinglestepScheduler takes back the noise of the last call within a step alone", () => {
  const scheduler = new DPMSolverSinglestepScheduler({ algorithmType: "sde-dpmsolver++", solverOrder: 3 });
  scheduler.setTimesteps(7);
  const takes = scheduler.plan().map((step) => step.previousNoise === undefined ? "-" : "+").join("");
  assert.equal(takes, "-++-++-");
});

Deno.test("LCMScheduler starts inside the schedule when the strength is below 1", () => {
  const scheduler = new LCMScheduler();
  scheduler.setTimesteps(3, { strength: 0.6 });
  assert.deepEqual(scheduler.timesteps, [599, 399, 199]);
  scheduler.setTimesteps(0, { timesteps: [999, 759, 499, 259], strength: 0.5 });
  assert.deepEqual(scheduler.timesteps, [499, 259]);
  assert.deepEqual(scheduler.plan().map((step) => step.drawsNoise), [true, false]);
});

Deno.test("PNDMScheduler looks twelve predictions back after its Runge-Kutta start", () => {
  const scheduler = new PNDMScheduler();
  scheduler.setTimesteps(20);
  const plan = scheduler.plan();
  assert.equal(plan.length, 29);
  const read = plan[12].history.flatMap((factor, age) => factor === 0 ? [] : [age]);
  assert.deepEqual(read, [0, 4, 8, 12]);
  assert.equal(plan[28].history.length, 4);
});

Deno.test("SASolverScheduler adds noise where tauFunc says so", () => {
  const scheduler = new SASolverScheduler();
  scheduler.setTimesteps(10);
  const noisy = scheduler.plan().filter((step) => step.noise > 0).map((step) => step.timestep);
  assert.deepEqual(noisy, [799, 699, 599, 500, 400, 300, 200]);
});
