// Runs a scheduler's plan on the CPU, as the sampling loop and its kernel do on the GPU. In: a plan, a sample and a model.
// Out: the sample after every step. Tensors are float32, as they are there.

import assert from "node:assert/strict";
import type { Clip, StepPlan } from "../../src/schedulers/scheduler.ts";

/** A model of the noise: one number in, the time, one number out. */
export type PointModel = (x: number, timestep: number) => number;

const round = Math.fround;

/** The model that the traces were recorded with, 0.7 x + 0.3 sin(3 x + t / 100), rounded at each operation as PyTorch does. */
export const traceModel: PointModel = (x, timestep) => {
  const angle = round(round(3 * x) + round(round(timestep) / 100));
  return round(round(round(0.7) * x) + round(round(0.3) * round(Math.sin(angle))));
};

/** What follows in the second half of the channels of the model that predicts its variance. */
export const traceVariance = (x: number) => Math.tanh(0.5 * x);

/**
 * Runs a whole plan.
 * @param plan The steps.
 * @param start [B, ...] the first sample.
 * @param batch B.
 * @param model What stands for the network.
 * @param draw The next noise tensor, of the sample's length.
 * @param variance What stands for the variance that the network learned.
 * @returns The sample after each step.
 */
export function runPlan(
  plan: StepPlan[],
  start: Float32Array,
  batch: number,
  model: PointModel,
  draw: () => Float32Array = () => assert.fail("the plan draws noise"),
  variance: (x: number) => number = () => assert.fail("the plan reads a variance"),
): Float32Array[] {
  let x = start;
  const history: Float32Array[] = [];
  let drawn: Float32Array | undefined;
  return plan.map((step) => {
    const input = x.map((value) => round(step.inputScale) * value);
    const output = input.map((value) => model(value, step.timestep));
    let m = mix(step.convert, x, output);
    if (step.clip) m = clipped(m, batch, step.clip);
    if (step.restore) m = mix(step.restore, x, m);
    history.unshift(m);
    assert.ok(step.history.slice(1).filter((factor) => factor !== 0).length <= 3, "four predictions at most");
    const before = drawn;
    drawn = step.drawsNoise ? draw() : undefined;
    const noise = drawn && noiseOf(step, drawn, before, input, variance);
    x = x.map((value, index) => {
      const remembered = step.history.reduce((sum, factor, age) => sum + factor * history[age][index], 0);
      const raw = (step.rawOutput ?? 0) * output[index];
      return step.sample * value + remembered + raw + (noise ? noise[index] : 0);
    });
    return x;
  });
}

/** The noise that a step adds. */
function noiseOf(
  { noise, noiseScale, previousNoise }: StepPlan,
  drawn: Float32Array,
  before: Float32Array | undefined,
  input: Float32Array,
  variance: (x: number) => number,
): Float32Array {
  const z = previousNoise === undefined ? drawn : drawn.map((value, index) => value + previousNoise * before![index]);
  return z.map((value, index) => {
    if (!noiseScale) return noise * value;
    const v = variance(input[index]);
    return noise * value * (noiseScale.kind === "root" ? Math.sqrt(v) : Math.exp(noiseScale.slope * v));
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
