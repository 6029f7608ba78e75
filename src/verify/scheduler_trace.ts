// Runs a scheduler's plan on the GPU beside a recorded trace. In: the plan, the first sample and the noises that were drawn.
// Out: a row for the sample after each step. A formula stands for the network.

import { read } from "../gpu/readback.ts";
import { Recorder } from "../gpu/recorder.ts";
import { SolverState } from "../ops/solver_step.ts";
import type { HostTensor } from "../pipelines/generate_options.ts";
import type { StepPlan } from "../schedulers/scheduler.ts";
import { StepNoise } from "../schedulers/step_noise.ts";
import { compareExactly, compareFloats, notCompared, type OutputReport } from "./compare.ts";
import type { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";

const f32 = Math.fround;

/** The network of the traces, 0.7 x + 0.3 sin(3 x + t / 100), rounded to f32 at each operation as PyTorch does it. */
export function predictNoise(x: number, timestep: number): number {
  const angle = f32(f32(3 * x) + f32(f32(timestep) / 100));
  return f32(f32(f32(0.7) * x) + f32(f32(0.3) * f32(Math.sin(angle))));
}

/** What follows in the second half of the channels for a network that predicts its variance, too. */
function predictVariance(x: number): number {
  return f32(Math.tanh(f32(0.5 * x)));
}

/** [B, C, h, w] twice as many channels: those of the noise, then of each sample what `predictVariance` makes of its input. */
export function withVariance(noise: Float32Array, input: Float32Array, batch: number): Float32Array {
  const size = input.length / batch;
  const output = new Float32Array(2 * input.length);
  for (let sample = 0; sample < batch; sample++) {
    const [start, end] = [sample * size, (sample + 1) * size];
    output.set(noise.subarray(start, end), 2 * start);
    output.set(input.subarray(start, end).map(predictVariance), 2 * start + size);
  }
  return output;
}

/** The network's output [B, C or 2 C, h, w] for a sample [B, C, h, w]. */
function modelOutput(
  x: Float32Array,
  batch: number,
  { inputScale, timestep }: StepPlan,
  learned: boolean,
): Float32Array {
  // Divided, as when the traces were recorded: the sine of a large sample shows a last digit that is another.
  const divisor = f32(1 / inputScale);
  const input = x.map((value) => value / divisor);
  const noise = input.map((value) => predictNoise(value, timestep));
  return learned ? withVariance(noise, input, batch) : noise;
}

/** A plan, and what stands for everything around it. */
export interface PlannedRun {
  plan: readonly StepPlan[];
  /** [B, C, h, w] where the run starts. */
  sample: HostTensor;
  /** The network's output for a sample: [B, Cout, h, w], or under guidance [2 B, Cout, h, w] without and then with the condition. */
  output(x: Float32Array, step: StepPlan): Float32Array;
  guidanceScale?: number;
  /** The draw of this number, from 0. */
  draw(index: number): Promise<Float32Array>;
  /** Told the sample after each step. */
  onStep?(index: number, x: Float32Array): Promise<void>;
}

/**
 * Runs a plan on the GPU.
 *
 * @returns The last sample, and how many noises were drawn.
 */
export async function runPlan(
  run: VerifyRun,
  { plan, sample, output, guidanceScale, draw, onStep }: PlannedRun,
): Promise<{ x: Float32Array; drawn: number }> {
  const { shape } = sample;
  const [batch, channels, height, width] = shape;
  const device = await run.device();
  using latents = device.upload(sample.data, shape, "sample");
  using scope = device.arena.scope();
  const solver = new SolverState(scope, latents, plan);
  const samples = guidanceScale === undefined ? batch : 2 * batch;
  const stepNoise = new StepNoise();
  let x = sample.data;
  let drawn = 0;
  for (const [index, step] of plan.entries()) {
    run.signal?.throwIfAborted();
    const z = stepNoise.next(step, step.drawsNoise ? await draw(drawn++) : undefined);
    const made = output(x, step);
    const outChannels = channels * made.length / (x.length * samples / batch);
    const rec = new Recorder(device);
    using _recording = rec.scope();
    solver.step(rec, step, rec.upload(made, [samples, outChannels, height, width]), {
      guidance: guidanceScale === undefined ? undefined : { factors: [guidanceScale] },
      noise: z && rec.upload(z, shape),
    });
    rec.submit();
    x = await read(device, latents);
    await onStep?.(index, x);
  }
  return { x, drawn };
}

/** `out.007` for a step, `noise.007` for a draw. */
function numbered(prefix: string, index: number): string {
  return `${prefix}.${String(index).padStart(3, "0")}`;
}

/**
 * Runs a plan from `in.sample`, feeding `noise.NNN` in the order they were drawn.
 *
 * @param learned Whether the network predicts its variance, too.
 * @returns A row for each `out.NNN`, and one for the number of noises when it is not the recorded one.
 * @throws {WeightsError} when the sample or a noise is missing.
 */
export async function runTrace(
  run: VerifyRun,
  io: Reference,
  plan: readonly StepPlan[],
  learned: boolean,
): Promise<OutputReport[]> {
  const rows: OutputReport[] = [];
  const outputs = new Set(io.outputs());
  const sample = await io.floats("in.sample", 4);
  const { shape } = sample;
  const { drawn } = await runPlan(run, {
    plan,
    sample,
    output: (x, step) => modelOutput(x, shape[0], step, learned),
    draw: async (index) => (await io.floats(numbered("noise", index), 4)).data,
    async onStep(index, x) {
      const name = numbered("out", index);
      if (!outputs.delete(name)) return;
      rows.push(compareFloats(name, { data: x, shape }, await io.floats(name), run.tolerance));
    },
  });
  const noises = io.names().filter((name) => name.startsWith("noise.")).length;
  if (noises !== drawn) rows.push(compareDraws("noises drawn", drawn, noises));
  for (const name of outputs) rows.push(notCompared(name, `the plan ends after ${plan.length} steps`));
  return rows;
}

/** A row for how many noises were drawn. */
export function compareDraws(name: string, drawn: number, recorded: number): OutputReport {
  const row = compareExactly(name, [drawn], [recorded]);
  return row.ok ? row : { ...row, note: `${drawn}, recorded ${recorded}` };
}
