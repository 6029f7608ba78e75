// The coefficients of DPM-Solver against an exact solution. For data with normal distribution of variance S the best
// prediction is linear in x, and the probability-flow ODE keeps x over its standard deviation.

import assert from "node:assert/strict";
import { type DPMSolverAlgorithm, dpmSolverStep, type DPMSolverType } from "../../src/schedulers/dpm_solver_step.ts";

const S = 0.3;
const FROM = -2;
const TO = 1.5;

function level(lambda: number): { alpha: number; sigma: number } {
  const alpha = Math.sqrt(1 / (1 + Math.exp(-2 * lambda)));
  return { alpha, sigma: alpha * Math.exp(-lambda) };
}

const exact = (lambda: number) => {
  const { alpha, sigma } = level(lambda);
  return Math.sqrt(alpha ** 2 * S + sigma ** 2);
};

/** The error at the end of a run of `count` even steps in lambda; the first `order - 1` samples are the exact ones. */
function errorAfter(count: number, algorithm: DPMSolverAlgorithm, solverType: DPMSolverType, order: number): number {
  const stops = Array.from({ length: count + 1 }, (_, index) => FROM + (TO - FROM) * index / count);
  const history: number[] = [];
  let x = exact(FROM);
  for (let index = 0; index < count; index++) {
    const { alpha, sigma } = level(stops[index]);
    const noise = sigma * x / (alpha ** 2 * S + sigma ** 2);
    history.unshift(algorithm.endsWith("++") ? (x - sigma * noise) / alpha : noise);
    const before = stops.slice(0, index + 1).reverse().map(level);
    const step = dpmSolverStep(algorithm, solverType, order, level(stops[index + 1]), before);
    if (index < order - 1) x = exact(stops[index + 1]);
    else x = step.history.reduce((sum, factor, age) => sum + factor * history[age], step.sample * x);
  }
  return Math.abs(x - exact(TO));
}

for (const algorithm of ["dpmsolver", "dpmsolver++"] as const) {
  for (const [order, solverType] of [[1, "midpoint"], [2, "midpoint"], [2, "heun"]] as const) {
    Deno.test(`dpmSolverStep() converges with order ${order} when ${algorithm} is solved by ${solverType}`, () => {
      const [coarse, fine] = [64, 128].map((count) => errorAfter(count, algorithm, solverType, order));
      const observed = Math.log2(coarse / fine);
      assert.ok(Math.abs(observed - order) < 0.2, `order ${observed}: errors ${coarse} and ${fine}`);
    });
  }

  // Order 3 weighs its second difference by half, as its authors' code does: see the source.
  Deno.test(`dpmSolverStep() is more exact with order 3 than with order 2 when ${algorithm} is solved`, () => {
    const [second, third] = [2, 3].map((order) => errorAfter(128, algorithm, "midpoint", order));
    assert.ok(third < 0.8 * second, `errors ${third} and ${second}`);
    const observed = Math.log2(errorAfter(64, algorithm, "midpoint", 3) / third);
    assert.ok(observed > 1.9, `order ${observed}`);
  });
}

Deno.test("dpmSolverStep() keeps the variance of pure noise when sde-dpmsolver++ is solved", () => {
  const [from, to] = [level(-1), level(0.4)];
  const { sample, noise } = dpmSolverStep("sde-dpmsolver++", "midpoint", 1, to, [from]);
  assert.ok(Math.abs((sample * from.sigma) ** 2 + noise ** 2 - to.sigma ** 2) < 1e-15);
});

Deno.test("dpmSolverStep() goes to the predicted sample when no noise is left", () => {
  const step = dpmSolverStep("dpmsolver++", "midpoint", 1, { alpha: 1, sigma: 0 }, [level(2)]);
  assert.deepEqual(step, { sample: 0, history: [1], noise: 0 });
});

Deno.test("dpmSolverStep() keeps the sample when it stays at its stop", () => {
  const step = dpmSolverStep("sde-dpmsolver++", "heun", 2, level(1), [level(1), level(0)]);
  assert.deepEqual(step, { sample: 1, history: [0], noise: 0 });
});

Deno.test("dpmSolverStep() reads no prediction beyond a stop that repeats", () => {
  const [target, here, before] = [level(1), level(0.5), level(0)];
  const step = (order: number, stops: { alpha: number; sigma: number }[]) => {
    return dpmSolverStep("dpmsolver++", "midpoint", order, target, stops);
  };
  assert.deepEqual(step(3, [here, here, before]), step(1, [here]));
  assert.deepEqual(step(3, [here, before, before]), step(2, [here, before]));
});
