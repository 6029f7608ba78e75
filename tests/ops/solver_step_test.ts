// SolverState against the CPU runner of tests/schedulers, which is the definition of a plan.

import assert from "node:assert/strict";
import { ShapeError, UsageError } from "../../src/errors.ts";
import { readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { SolverState, type SolverStepPlan } from "../../src/ops/solver_step.ts";
import { DPMSolverMultistepScheduler } from "../../src/schedulers/dpm_solver_multistep.ts";
import type { StepPlan } from "../../src/schedulers/scheduler.ts";
import { StepNoise } from "../../src/schedulers/step_noise.ts";
import { device } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";
import { runPlan, traceModel } from "../schedulers/_runner.ts";

interface Run {
  shape: number[];
  outChannels?: number;
  guidanceScale?: number;
  drawNoise?: boolean;
}

/** A variance that has a root. */
const variance = (x: number) => 0.5 + 0.4 * Math.sin(x);

/** The model's raw output for one sample, laid out as a transformer does: more channels than are used, two halves when guided. */
function rawOutput(x: Float32Array, step: StepPlan, { shape, outChannels = shape[1], guidanceScale }: Run) {
  const [batch, channels, height, width] = shape, item = channels * height * width;
  const outItem = outChannels * height * width, halves = guidanceScale === undefined ? 1 : 2;
  const output = new Float32Array(halves * batch * outItem).fill(77);
  const put = (at: number, value: number) => {
    if (guidanceScale === undefined) output[at] = value;
    else {
      // Halves from which guidance makes the value again.
      const unconditioned = 0.5 * Math.sin(at);
      output[at] = unconditioned;
      output[batch * outItem + at] = unconditioned + (value - unconditioned) / guidanceScale;
    }
  };
  x.forEach((value, i) => {
    const at = Math.floor(i / item) * outItem + i % item, input = step.inputScale * value;
    put(at, traceModel(input, step.timestep));
    if (outChannels >= 2 * channels) put(at + item, variance(input));
  });
  return output;
}

/** Runs a plan on the GPU and on the CPU from the same start and compares the samples after every step. */
async function compare(plan: StepPlan[], run: Run, what: string): Promise<void> {
  const { shape, outChannels = shape[1], guidanceScale } = run;
  const size = shape.reduce((product, extent) => product * extent), start = numbers(size, 1, 1.5);
  const noises = plan.map((_, i) => numbers(size, 50 + i));
  const expected = runPlan(plan, start, shape[0], traceModel, () => noises.shift()!, variance);
  const drawn = plan.map((_, i) => numbers(size, 50 + i));
  using scope = device.arena.scope();
  const sample = device.upload(start, shape);
  const state = new SolverState(scope, sample, plan);
  const stepNoise = new StepNoise();
  let x: Float32Array = start;
  for (const [index, step] of plan.entries()) {
    const rec = new Recorder(device);
    using _recording = rec.scope();
    const output = rec.upload(rawOutput(x, step, run), [
      (guidanceScale === undefined ? 1 : 2) * shape[0],
      outChannels,
      ...shape.slice(2),
    ]);
    const z = stepNoise.next(step, step.drawsNoise ? drawn.shift()! : undefined);
    const guidance = guidanceScale === undefined ? undefined : { factors: [guidanceScale] };
    state.step(rec, step, output, { guidance, noise: z && rec.upload(z, shape) });
    rec.submit();
    x = (await readAll(device, [sample]))[0] as Float32Array;
    assertClose(x, expected[index], 2e-5, `${what}, step ${index}`);
  }
  sample.dispose();
}

function planOf(steps: number, config: Record<string, unknown>): StepPlan[] {
  const scheduler = DPMSolverMultistepScheduler.fromConfig(config);
  scheduler.setTimesteps(steps);
  return scheduler.plan();
}

Deno.test("SolverState steps as the plan says, with one to three kept predictions", async () => {
  for (const order of [1, 2, 3]) {
    await compare(planOf(8, { solver_order: order }), { shape: [2, 4, 8, 8] }, `order ${order}`);
    await compare(planOf(8, { solver_order: order }), { shape: [1, 3, 5, 7] }, `order ${order}, ragged`);
  }
});

/** Steps of a sample that stays near where it is, changed by `change`. */
function steady(count: number, change: (index: number) => Partial<StepPlan>): StepPlan[] {
  return planOf(count, { solver_order: 1 }).map((step, index) => ({
    ...step,
    convert: { sample: 0.6, output: -0.5 },
    sample: 0.8,
    history: [0.3],
    ...change(index),
  }));
}

Deno.test("SolverState reads three kept predictions of any age", async () => {
  const all = (index: number) => ({ history: [0.3, -0.2, 0.25, 0.1].slice(0, index + 1) });
  await compare(steady(6, all), { shape: [1, 4, 3, 5] }, "neighbours");
  const old = [0.3, -0.2, 0, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.1];
  const sparse = (index: number) => ({ history: old.slice(0, index + 1) });
  await compare(steady(26, sparse), { shape: [1, 4, 3, 5] }, "twelve back");
  // Between reads, predictions must be kept all the same; factors of 0 at the end need no memory.
  const rare = (index: number) => ({
    history: index % 5 === 4 ? [0.3, 0, 0, -0.2, 0.25, 0, 0].slice(0, index + 1) : [0.3],
  });
  await compare(steady(12, (index) => index < 5 ? { history: [0.3] } : rare(index)), { shape: [2, 3, 2, 3] }, "rare");
});

Deno.test("SolverState adds the model's own output beside a clipped prediction", async () => {
  const clip = { kind: "range", max: 0.7 } as const;
  const plan = steady(5, (index) => ({ clip, rawOutput: index === 2 ? undefined : 0.4 - 0.1 * index }));
  await compare(plan, { shape: [2, 4, 4, 6] }, "raw output");
  await compare(plan, { shape: [2, 3, 5, 3], outChannels: 7, guidanceScale: 2.5 }, "guided");
});

Deno.test("SolverState scales noise by the variance in the channels behind the prediction", async () => {
  for (const noiseScale of [{ kind: "exponential", slope: 0.7 }, { kind: "root" }] as const) {
    const plan = steady(4, (index) => ({ noise: 0.5 - 0.1 * index, drawsNoise: true, noiseScale }));
    await compare(plan, { shape: [2, 4, 4, 6], outChannels: 8 }, noiseScale.kind);
    await compare(plan, { shape: [3, 3, 5, 3], outChannels: 7, guidanceScale: 2.5 }, `${noiseScale.kind}, guided`);
  }
});

Deno.test("SolverState steps with noise that takes back the draw of the step before", async () => {
  const plan = steady(4, (index) => ({
    noise: 0.5,
    drawsNoise: true,
    ...(index > 0 && { previousNoise: -0.6 }),
  }));
  await compare(plan, { shape: [2, 4, 4, 6] }, "previous noise");
});

Deno.test("SolverState guides and drops the channels behind the prediction", async () => {
  const plan = planOf(4, {});
  await compare(plan, { shape: [2, 4, 6, 10], outChannels: 8 }, "learned variance");
  await compare(plan, { shape: [3, 4, 4, 4], outChannels: 8, guidanceScale: 4.5 }, "guided");
  await compare(plan, { shape: [1, 3, 5, 3], outChannels: 7, guidanceScale: 1 }, "guided by one");
});

Deno.test("SolverState mixes three answers, and leaves channels behind the guided ones as the last answer has them", async () => {
  const [plan] = planOf(1, {});
  const shape = [2, 4, 3, 5], size = 120, item = 60, outItem = 120;
  const answers = [0, 1, 2].map((i) => numbers(2 * outItem, 10 + i));
  const start = numbers(size, 1);
  for (const { factors, channels } of [{ factors: [4.5, -3] }, { factors: [1.5], channels: 3 }]) {
    using scope = device.arena.scope();
    const sample = device.upload(start, shape);
    const rec = new Recorder(device);
    using _recording = rec.scope();
    const used = answers.slice(0, factors.length + 1);
    const output = rec.upload(Float32Array.from(used.flatMap((one) => [...one])), [2 * used.length, 8, 3, 5]);
    new SolverState(scope, sample, [plan]).step(rec, plan, output, { guidance: { factors, channels } });
    rec.submit();
    const expected = start.map((x, i) => {
      const at = Math.floor(i / item) * outItem + i % item;
      const isGuided = Math.floor(i % item / 15) < (channels ?? 4);
      const [first, ...others] = used.map((one) => one[at]);
      const guided = others.reduce((sum, other, k) => sum + factors[k] * (other - first), first);
      const m = plan.convert.sample * x + plan.convert.output * (isGuided ? guided : others.at(-1)!);
      return plan.sample * x + plan.history[0] * m;
    });
    assertClose((await readAll(device, [sample]))[0] as Float32Array, expected, 1e-5, `${factors}`);
    sample.dispose();
  }
});

Deno.test("SolverState adds the noise of stochastic methods", async () => {
  await compare(planOf(5, { algorithm_type: "sde-dpmsolver++" }), { shape: [2, 4, 4, 6] }, "sde");
});

Deno.test("SolverState thresholds by the quantile of each batch item", async () => {
  const config = { thresholding: true, sample_max_value: 1.5, dynamic_thresholding_ratio: 0.8 };
  await compare(planOf(5, config), { shape: [3, 4, 16, 16] }, "quantile");
  await compare(planOf(5, { ...config, dynamic_thresholding_ratio: 0.995 }), { shape: [2, 3, 5, 7] }, "ragged");
  await compare(planOf(4, config), { shape: [2, 4, 6, 6], outChannels: 8, guidanceScale: 3 }, "guided");
  await compare(planOf(4, { ...config, algorithm_type: "dpmsolver", final_sigmas_type: "sigma_min" }), {
    shape: [2, 4, 6, 6],
  }, "restored to noise");
  await compare(planOf(4, { ...config, sample_max_value: 1 }), { shape: [2, 4, 6, 6] }, "range");
});

/** One step that only clips: x becomes the clipped output. */
async function clip(values: Float32Array, batch: number, how: SolverStepPlan["clip"]): Promise<Float32Array> {
  const shape = [batch, 1, 1, values.length / batch];
  const plan: SolverStepPlan = {
    convert: { sample: 0, output: 1 },
    clip: how,
    sample: 0,
    history: [1],
    noise: 0,
  };
  using scope = device.arena.scope();
  const rec = new Recorder(device).within(scope);
  const sample = rec.upload(new Float32Array(values.length), shape);
  new SolverState(scope, sample, [plan]).step(rec, plan, rec.upload(values, shape));
  rec.submit();
  return (await readAll(device, [sample]))[0] as Float32Array;
}

/** torch.quantile of magnitudes, in f32 where torch is, and the clip that follows. */
function clipReference(row: Float32Array, ratio: number, max: number): Float32Array {
  const sorted = row.map(Math.abs).sort();
  const place = Math.fround(Math.fround(ratio) * (row.length - 1));
  const low = sorted[Math.floor(place)], high = sorted[Math.ceil(place)];
  const bound = Math.min(Math.max(low + (high - low) * (place - Math.floor(place)), 1), max);
  return row.map((value) => Math.min(Math.max(value, -bound), bound) / bound);
}

Deno.test("SolverState finds the quantile among ties, extremes and single elements", async () => {
  const ties = numbers(300, 3, 4).map((value) => Math.round(value));
  const halves = numbers(257, 4, 3).map((value, i) => i % 2 ? value : 2.5);
  for (
    const row of [ties, halves, numbers(1, 5, 9), numbers(2, 6, 9), numbers(4000, 7, 1e-30), numbers(999, 8, 1e30)]
  ) {
    for (const ratio of [0, 0.31, 0.5, 0.995, 1]) {
      const actual = await clip(row, 1, { kind: "dynamic", ratio, max: 1e35 });
      assertClose(actual, clipReference(row, ratio, 1e35), 1e-6, `${row.length} elements at ${ratio}`);
    }
  }
});

Deno.test("SolverState keeps a NaN when it clips", async () => {
  const values = Float32Array.of(5, NaN, -5, 0.5);
  assert.deepEqual([...await clip(values, 1, { kind: "range", max: 2 })], [2, NaN, -2, 0.5]);
  assert.ok(Number.isNaN((await clip(values, 1, { kind: "dynamic", ratio: 0.5, max: 9 }))[1]));
});

Deno.test("SolverState refuses outputs, noise and plans that do not fit", () => {
  using scope = device.arena.scope();
  const rec = new Recorder(device).within(scope);
  const sample = scope.tensor([2, 4, 3, 3]), output = scope.tensor([2, 8, 3, 3]);
  const step: SolverStepPlan = { convert: { sample: 0, output: 1 }, sample: 1, history: [1], noise: 0 };
  const state = new SolverState(scope, sample, [step, { ...step, history: [1, 1] }]);
  assert.throws(() => state.step(rec, step, scope.tensor([2, 3, 3, 3])), /f32\[2, 4, 3, 3\] by f32\[2, 3, 3, 3\]/);
  assert.throws(() => state.step(rec, step, scope.tensor([2, 4, 3, 4])), ShapeError);
  assert.throws(() => state.step(rec, step, output, { guidance: { factors: [2] } }), ShapeError);
  assert.throws(() => state.step(rec, { ...step, noise: 1 }, output), UsageError);
  assert.throws(() => state.step(rec, { ...step, noise: 1 }, output, { noise: output }), ShapeError);
  const scaled: SolverStepPlan = { ...step, noise: 1, noiseScale: { kind: "root" } };
  assert.throws(() => state.step(rec, scaled, scope.tensor([2, 7, 3, 3]), { noise: sample }), (error) => {
    return error instanceof UsageError && /must have 8 channels: f32\[2, 7, 3, 3\]/.test(error.message);
  });
  assert.throws(() => state.step(rec, { ...step, history: [1, 1] }, output), UsageError);
  state.step(rec, step, output);
  state.step(rec, { ...step, history: [1, 1] }, output);
  assert.throws(() => state.step(rec, { ...step, history: [1, 1, 1] }, output), UsageError);
  assert.throws(() => new SolverState(scope, sample, [{ ...step, history: [1, 1] }]), UsageError);
  assert.throws(() => new SolverState(scope, sample, [{ ...step, history: [] }]), UsageError);
  const five = Array.from({ length: 5 }, (_, index) => ({ ...step, history: [1, 1, 1, 1, 1].slice(0, index + 1) }));
  const long = new SolverState(scope, sample, five);
  for (const plan of five.slice(0, 4)) long.step(rec, plan, output);
  assert.throws(() => long.step(rec, five[4], output), /at most 3 of 4 kept ones: factors \[1, 1, 1, 1, 1\]/);
  assert.throws(() => new SolverState(scope, scope.tensor([4, 4]), [step]), ShapeError);
});
