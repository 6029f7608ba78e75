// What every component's verification works with: where the component lies, how to run it, and a device when it needs one.

import type { Device } from "../gpu/device.ts";
import { readAll } from "../gpu/readback.ts";
import { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";
import type { HostTensor } from "../pipelines/generate_options.ts";
import type { WeightDType } from "../ops/weight_kernels.ts";
import type { OutputReport } from "./compare.ts";

/** One verification. */
export interface VerifyRun {
  /** A path or URL. */
  folder: string;
  /** The component's class, or what it is where it has none. */
  name: string;
  /** How weights are kept; as the checkpoint has them when not given. */
  dtype?: WeightDType;
  /** The largest relative L2 error that passes. */
  tolerance: number;
  signal?: AbortSignal;
  /** Says what is being done; throws when the run was aborted. */
  progress(text: string): void;
  /** Says what is wrong with the component, and goes on. */
  warn(text: string): void;
  /** The device, opened when first asked for. */
  device(): Promise<Device>;
}

/** Verifies one kind of component. */
export type Verifier = (run: VerifyRun) => Promise<OutputReport[]>;

/**
 * Records work in a scope of its own, runs it, and reads its results in one wait.
 *
 * @param work Gives the tensors to read.
 * @returns Their numbers, in the same order.
 */
export async function compute(device: Device, work: (rec: Recorder) => readonly Tensor[]): Promise<HostTensor[]> {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const tensors = work(rec);
  rec.submit();
  const numbers = await readAll(device, tensors);
  return tensors.map(({ shape }, i) => ({ data: numbers[i] as Float32Array, shape }));
}

/**
 * Moves the channels in front: a picture [B, H, W, C] becomes [B, C, H, W].
 *
 * @param image [B, H, W, C]
 */
export function channelsFirst({ data, shape: [batch, height, width, channels] }: HostTensor): HostTensor {
  const pixels = height * width;
  const out = new Float32Array(data.length);
  for (let sample = 0; sample < batch; sample++) {
    const start = sample * channels * pixels;
    for (let pixel = 0; pixel < pixels; pixel++) {
      for (let channel = 0; channel < channels; channel++) {
        out[start + channel * pixels + pixel] = data[start + pixel * channels + channel];
      }
    }
  }
  return { data: out, shape: [batch, channels, height, width] };
}
