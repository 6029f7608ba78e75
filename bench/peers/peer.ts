// A peer in a process of its own, so that its memory and its crashes stay there. In: the peer's name, a backend and a file of jobs.
// Out: a line of JSON for each job: a row of a report, with the elements of the result that the job asks for.
//
//   deno run -A --config bench/peers/deno.json bench/peers/peer.ts jax-js deno jobs.json

import { openBackend } from "../../src/gpu/backend.ts";
import { openBytes } from "../../src/io/byte_source.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { measure, PATIENCE, summarize } from "../../src/tune/measure.ts";
import type { Timing } from "../report.ts";
import type { PeerJobFile, PeerLine } from "./protocol.ts";

/** Numbers on the host. */
export interface HostArray {
  shape: number[];
  data: Float32Array<ArrayBuffer>;
}

/** Work on a peer's device, compiled. */
export interface Work extends Disposable {
  /** Does it so many times, and waits until all of it is done. */
  run(count: number): Promise<void>;
  /** Does it once; all of the result. */
  read(): Promise<Float32Array>;
}

/** A peer, after it has found its device. */
export interface Peer {
  /** Whether images are [batch, channels, height, width] to it, and kernels [out, in, height, width]. */
  channelsFirst: boolean;
  /** Compiles a job; throws where it lacks the operations. */
  prepare(
    kind: string,
    inputs: Record<string, HostArray>,
    extents: Record<string, number>,
  ): Promise<Work>;
}

/** How the peers are opened. Each is imported when it is wanted: the others' packages need not be there. */
const OPEN: Record<string, () => Promise<Peer>> = {
  "jax-js": async () => await (await import("./jax_js.ts")).open(),
  "tfjs": async () => await (await import("./tfjs.ts")).open(),
  "onnxruntime-web": async () => (await import("./onnxruntime_web.ts")).open({ fused: true }),
  "onnxruntime-web plain": async () => (await import("./onnxruntime_web.ts")).open({ fused: false }),
};

const ROUND_MS = 150;

/** The time of one repetition of work that has run before, by the clock on the wall, less an empty wait. */
async function timeWork(work: Work, budgetMs: number): Promise<Timing> {
  const wall = async (count: number) => {
    const start = performance.now();
    await work.run(count);
    return performance.now() - start;
  };
  const empty = summarize(await measure(() => wall(0), { ...PATIENCE, budgetMs: 200 })).minMs;
  const single = Math.max(await wall(1) - empty, 0.01);
  const repetitions = Math.max(1, Math.min(64, Math.ceil(ROUND_MS / single)));
  const times = single > budgetMs ? [single] : await measure(
    async () => Math.max(await wall(repetitions) - empty, 0.001) / repetitions,
    { ...PATIENCE, budgetMs, atLeast: 3 },
  );
  return { ...summarize(times), repetitions, clock: "wall" };
}

/** [1, height, width, C] -> [1, C, height, width], or [height, width, in, out] -> [out, in, height, width], or back. */
function permuted({ shape, data }: HostArray, order: readonly number[]): HostArray {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const to = order.map((axis) => shape[axis]), from = order.map((axis) => strides[axis]);
  const result = new Float32Array(data.length);
  let place = 0;
  for (let a = 0; a < to[0]; a++) {
    for (let b = 0; b < to[1]; b++) {
      for (let c = 0; c < to[2]; c++) {
        for (let d = 0; d < to[3]; d++) {
          result[place++] = data[a * from[0] + b * from[1] + c * from[2] + d * from[3]];
        }
      }
    }
  }
  return { shape: to, data: result };
}

async function readInputs(path: string): Promise<Record<string, HostArray>> {
  using source = await openSafetensors(await openBytes(path));
  const inputs: Record<string, HostArray> = {};
  for (const name of source.names()) {
    inputs[name] = { shape: source.info(name).shape, data: await readFloats(source, name) };
  }
  return inputs;
}

/** Brings images into the peer's layout, and says how to bring a result back. */
function arrange(kind: string, inputs: Record<string, HostArray>, channelsFirst: boolean, channels: number) {
  if (!channelsFirst || (kind !== "conv2d" && kind !== "group_norm")) return (data: Float32Array) => data;
  const [, height, width] = inputs.x.shape;
  inputs.x = permuted(inputs.x, [0, 3, 1, 2]);
  if (inputs.w) inputs.w = permuted(inputs.w, [3, 2, 0, 1]);
  return (data: Float32Array) =>
    permuted({ shape: [1, channels, height, width], data: new Float32Array(data) }, [0, 2, 3, 1]).data;
}

async function runJob(peer: Peer, { kind, extents, inputs: path, places, budgetMs }: PeerJobFile): Promise<PeerLine> {
  const inputs = await readInputs(path);
  const restore = arrange(kind, inputs, peer.channelsFirst, extents.CO ?? extents.C);
  using work = await peer.prepare(kind, inputs, extents);
  const result = restore(await work.read());
  const timing = await timeWork(work, budgetMs);
  return { timing, values: Array.from(places, (place) => result[place]) };
}

if (import.meta.main) {
  const [name, backend, file] = Deno.args;
  const { gpu } = await openBackend(backend);
  if (backend !== "deno") Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  const jobs = JSON.parse(await Deno.readTextFile(file)) as PeerJobFile[];
  // What the peer's library says goes to stderr: stdout is for rows.
  const line = (value: PeerLine) => Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(value) + "\n"));
  console.log = console.info = console.debug = console.error;
  const peer = await OPEN[name]();
  for (const job of jobs) {
    try {
      line(await runJob(peer, job));
    } catch (error) {
      line({ note: error instanceof Error ? error.message.split("\n")[0] : String(error) });
    }
  }
  Deno.exit(0);
}
