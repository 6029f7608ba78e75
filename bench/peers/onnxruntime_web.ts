// onnxruntime-web on WebGPU as a peer. Inputs and outputs stay on the GPU; no operation may go to the CPU.

import * as ort from "onnxruntime-web/webgpu";
import { writeOnnx } from "./onnx_graph.ts";
import type { HostArray, Peer } from "./peer.ts";

const USAGE = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;

function onGpu(device: GPUDevice, { shape, data }: HostArray): { tensor: ort.Tensor; buffer: GPUBuffer } {
  const buffer = device.createBuffer({ size: Math.ceil(data.byteLength / 16) * 16, usage: USAGE });
  device.queue.writeBuffer(buffer, 0, data);
  return { buffer, tensor: ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: shape }) };
}

/** Finds its device, when the first model is made. */
export function open({ fused }: { fused: boolean }): Peer {
  return {
    channelsFirst: true,
    async prepare(kind, arrays, extents) {
      const model = writeOnnx(kind, arrays, extents, { fused });
      // Bytes rather than a path: a relative path would be fetched as a URL.
      const session = await ort.InferenceSession.create(model.bytes, {
        executionProviders: ["webgpu"],
        preferredOutputLocation: "gpu-buffer",
        extra: { session: { disable_cpu_ep_fallback: "1" } },
      });
      const device = await ort.env.webgpu.device as GPUDevice;
      const given = model.inputs.map((name) => [name, onGpu(device, arrays[name])] as const);
      const feeds = Object.fromEntries(given.map(([name, { tensor }]) => [name, tensor]));
      return {
        async run(count) {
          for (let i = 0; i < count; i++) (await session.run(feeds)).y.dispose();
          await device.queue.onSubmittedWorkDone();
        },
        async read() {
          const { y } = await session.run(feeds);
          return await y.getData(true) as Float32Array;
        },
        [Symbol.dispose]() {
          for (const [, { buffer }] of given) buffer.destroy();
          session.release();
        },
      };
    },
  };
}
