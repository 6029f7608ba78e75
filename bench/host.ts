// What the host spends a dispatch in the steps of a picture. In: a device. Out: microseconds, from the call of the transformer to
// the submit, and what the same dispatches take as bare calls of WebGPU.
// The transformer is as deep as the released ones, but so narrow, and its picture so small, that a GPU has next to nothing to do.

import type { Device } from "../src/gpu/device.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import { measure, type Patience, summarize } from "../src/tune/measure.ts";
import { numbers } from "../src/tune/work.ts";
import { narrowTransformer } from "./cases/random_networks.ts";

const SIDE = 16; // latent pixels: 64 tokens, as many as a workgroup of the attention kernels takes
const CAPTION = 16;
// A picture has about so many steps, and the first of them are recorded by code that is not yet compiled.
const PATIENCE: Patience = { budgetMs: 4000, atLeast: 20, atMost: 100, spread: 0 };

/** Microseconds a dispatch. */
export interface DispatchCost {
  /** Recorded by this library. */
  dispatchUs: number;
  /** The same pipelines and bind groups, set and dispatched by themselves. */
  bareUs: number;
}

/** A dispatch as WebGPU is told of it. */
interface BareDispatch {
  pipeline: GPUComputePipeline;
  bind: Parameters<GPUComputePassEncoder["setBindGroup"]>;
  groups: Parameters<GPUComputePassEncoder["dispatchWorkgroups"]>;
}

/** What is dispatched while `record` runs, copies left out. */
function dispatchesOf({ gpu }: Device, record: () => void): BareDispatch[] {
  const seen: BareDispatch[] = [];
  const createCommandEncoder = gpu.createCommandEncoder;
  gpu.createCommandEncoder = (descriptor) => {
    const encoder = createCommandEncoder.call(gpu, descriptor);
    const beginComputePass = encoder.beginComputePass;
    encoder.beginComputePass = (descriptor) => {
      const pass = beginComputePass.call(encoder, descriptor);
      const { setPipeline, setBindGroup, dispatchWorkgroups } = pass;
      const now: Partial<BareDispatch> = {};
      pass.setPipeline = (pipeline) => {
        now.pipeline = pipeline;
        setPipeline.call(pass, pipeline);
      };
      pass.setBindGroup = (...bind: unknown[]) => {
        now.bind = bind.map((each) => each instanceof Uint32Array ? each.slice() : each) as BareDispatch["bind"];
        setBindGroup.apply(pass, bind as BareDispatch["bind"]);
      };
      pass.dispatchWorkgroups = (...groups) => {
        seen.push({ ...now as BareDispatch, groups });
        dispatchWorkgroups.apply(pass, groups);
      };
      return pass;
    };
    return encoder;
  };
  try {
    record();
  } finally {
    gpu.createCommandEncoder = createCommandEncoder;
  }
  return seen;
}

function runBare({ gpu }: Device, dispatches: readonly BareDispatch[]): void {
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const { pipeline, bind, groups } of dispatches) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(...bind);
    pass.dispatchWorkgroups(...groups);
  }
  pass.end();
  gpu.queue.submit([encoder.finish()]);
}

/** What a dispatch costs: the median of the steps behind the first. */
export async function dispatchCost(device: Device, signal?: AbortSignal): Promise<DispatchCost> {
  using model = await narrowTransformer().open(device);
  const { captionChannels } = model.config;
  using embeds = device.upload(numbers(2 * CAPTION * captionChannels, 1, 0.1), [2, CAPTION, captionChannels]);
  using latents = device.upload(numbers(4 * SIDE * SIDE, 2), [1, 4, SIDE, SIDE]);
  using kept = device.arena.scope();
  const setup = new Recorder(device).within(kept);
  const caption = model.encodeCaption(setup, embeds);
  const times = model.encodeTimes(setup, [500]);
  setup.submit();
  const step = () => {
    const rec = new Recorder(device);
    using _scope = rec.scope();
    model.predict(rec, latents, caption, times, { row: 0, channels: 4 });
    rec.submit();
  };
  const dispatches = dispatchesOf(device, step);
  await device.settle();
  const cost = async (work: () => void) => {
    const times = await measure(
      async () => {
        const start = performance.now();
        work();
        const ms = performance.now() - start;
        await device.settle();
        return ms;
      },
      PATIENCE,
      signal,
    );
    return summarize(times).medianMs * 1000 / dispatches.length;
  };
  return { dispatchUs: await cost(step), bareUs: await cost(() => runBare(device, dispatches)) };
}
