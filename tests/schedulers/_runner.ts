// Runs a scheduler's plan on the CPU, as the sampling loop and its kernel do on the GPU. In: a plan, a sample and a model.
// Out: the sample after every step. Tensors are float32, as they are there.

import assert from "node:assert/strict";
import type { Clip, StepPlan } from "../../src/schedulers/scheduler.ts";

/** A model of the noise: one number in, the time, one number out. */
export type PointModel = (x: number, timestep: number) => number;

/** The model that the traces were recorded with. */
export const traceModel: PointModel = (x, timestep) => 0.7 * x + 0.3 * Math.sin(3 * x + timestep / 100);

/**
 * Runs a whole plan.
 * @param plan The steps.
 * @param start [B, ...] the first sample.
 * @param batch B.
 * @param model What stands for the network.
 * @param draw The next noise tensor, of the sample's length.
 * @returns The sample after each step.
 */
export function runPlan(
  plan: StepPlan[],
  start: Float32Array,
  batch: number,
  model: PointModel,
  draw: () => Float32Array = () => assert.fail("the plan draws noise"),
): Float32Array[] {
  let x = start;
  const history: Float32Array[] = [];
  return plan.map((step) => {
    const output = x.map((value) => model(step.inputScale * value, step.timestep));
    let m = mix(step.convert, x, output);
    if (step.clip) m = clipped(m, batch, step.clip);
    if (step.restore) m = mix(step.restore, x, m);
    history.unshift(m);
    const z = step.drawsNoise ? draw() : undefined;
    x = x.map((value, index) => {
      const remembered = step.history.reduce((sum, factor, age) => sum + factor * history[age][index], 0);
      return step.sample * value + remembered + (z ? step.noise * z[index] : 0);
    });
    return x;
  });
}

function mix(factors: { sample: number; output: number }, x: Float32Array, output: Float32Array): Float32Array {
  return x.map((value, index) => factors.sample * value + factors.output * output[index]);
}

function clipped(x0: Float32Array, batch: number, clip: Clip): Float32Array {
  if (clip.kind === "range") return x0.map((value) => Math.min(Math.max(value, -clip.max), clip.max));
  const size = x0.length / batch;
  const bounds = Array.from({ length: batch }, (_, item) => {
    const sorted = x0.slice(item * size, (item + 1) * size).map(Math.abs).sort();
    const place = clip.ratio * (size - 1);
    const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    const quantile = below + (above - below) * (place - Math.floor(place));
    return Math.min(Math.max(quantile, 1), clip.max);
  });
  return x0.map((value, index) => {
    const bound = bounds[Math.floor(index / size)];
    return Math.min(Math.max(value, -bound), bound) / bound;
  });
}

/** The L2 norm of the difference over that of what was expected. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length, "lengths");
  let [difference, size] = [0, 0];
  for (let index = 0; index < expected.length; index++) {
    difference += (actual[index] - expected[index]) ** 2;
    size += expected[index] ** 2;
  }
  return Math.sqrt(difference / (size || 1));
}

/** Fails when the relative L2 error is above `tolerance`, and says which elements are worst. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what: string,
): void {
  const error = relativeError(actual, expected);
  if (error <= tolerance) return;
  const worst = Array.from(expected, (value, index) => ({ index, actual: actual[index], expected: value }))
    .sort((a, b) => Math.abs(b.actual - b.expected) - Math.abs(a.actual - a.expected))
    .slice(0, 4)
    .map((element) => `[${element.index}] ${element.actual} instead of ${element.expected}`);
  assert.fail(`${what}: relative L2 error ${error} is above ${tolerance}; worst ${worst.join(", ")}`);
}
