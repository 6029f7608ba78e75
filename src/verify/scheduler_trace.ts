// Runs a scheduler's plan on the GPU beside a recorded trace. In: the plan, the first sample and the noises that were drawn.
// Out: a row for the sample after each step. A formula stands for the network.

import { read } from "../gpu/readback.ts";
import { Recorder } from "../gpu/recorder.ts";
import { SolverState } from "../ops/solver_step.ts";
import type { StepPlan } from "../schedulers/scheduler.ts";
import { StepNoise } from "../schedulers/step_noise.ts";
import { compareExactly, compareFloats, notCompared, type OutputReport } from "./compare.ts";
import type { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";

const f32 = Math.fround;

/** The network of the traces, 0.7 x + 0.3 sin(3 x + t / 100), rounded to f32 at each operation as PyTorch does it. */
function predictNoise(x: number, timestep: number): number {
  const angle = f32(f32(3 * x) + f32(f32(timestep) / 100));
  return f32(f32(f32(0.7) * x) + f32(f32(0.3) * f32(Math.sin(angle))));
}

/** What follows in the second half of the channels for a network that predicts its variance, too. */
function predictVariance(x: number): number {
  return f32(Math.tanh(f32(0.5 * x)));
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
  if (!learned) return noise;
  const size = x.length / batch;
  const output = new Float32Array(2 * x.length);
  for (let sample = 0; sample < batch; sample++) {
    const [start, end] = [sample * size, (sample + 1) * size];
    output.set(noise.subarray(start, end), 2 * start);
    output.set(input.subarray(start, end).map(predictVariance), 2 * start + size);
  }
  return output;
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
  const [batch, channels, height, width] = shape;
  const device = await run.device();
  using latents = device.upload(sample.data, shape, "sample");
  using scope = device.arena.scope();
  const solver = new SolverState(scope, latents, plan);
  let x = sample.data as Float32Array;
  let drawn = 0;
  const stepNoise = new StepNoise();
  for (const [index, step] of plan.entries()) {
    run.signal?.throwIfAborted();
    const fresh = step.drawsNoise ? await io.floats(numbered("noise", drawn++), 4) : undefined;
    const z = stepNoise.next(step, fresh && Float32Array.from(fresh.data));
    const output = modelOutput(x, batch, step, learned);
    const rec = new Recorder(device);
    using _recording = rec.scope();
    solver.step(rec, step, rec.upload(output, [batch, learned ? 2 * channels : channels, height, width]), {
      noise: z && rec.upload(z, shape),
    });
    rec.submit();
    x = await read(device, latents);
    const name = numbered("out", index);
    if (outputs.delete(name)) rows.push(compareFloats(name, { data: x, shape }, await io.floats(name), run.tolerance));
  }
  const noises = io.names().filter((name) => name.startsWith("noise.")).length;
  if (noises !== drawn) {
    rows.push({ ...compareExactly("noises drawn", [drawn], [noises]), note: `${drawn}, recorded ${noises}` });
  }
  for (const name of outputs) rows.push(notCompared(name, `the plan ends after ${plan.length} steps`));
  return rows;
}
