// Loading weights onto the GPU, from files of every format: MB/s of the file, beside reading the same bytes and doing nothing with them.
// The weights are two of T5-XXL's; files are written to the system's temporary folder, about 800 MB, and removed at the end.

import { RandomWeights } from "../src/checkpoints/random_weights.ts";
import { Device } from "../src/gpu/device.ts";
import { read } from "../src/gpu/readback.ts";
import { Recorder } from "../src/gpu/recorder.ts";
import { joinPath, openBytes } from "../src/io/byte_source.ts";
import { castWeights } from "../src/io/cast_weights.ts";
import { writeGguf } from "../src/io/gguf_writer.ts";
import { openWeightsFile } from "../src/io/open_weights_file.ts";
import { type OutputFile, writeFileWhole } from "../src/io/output_file.ts";
import { writeSafetensors } from "../src/io/safetensors_writer.ts";
import { writeTorchFile } from "../src/io/torch_writer.ts";
import { floatsOf, type StoredDType, type WeightSource } from "../src/io/weights.ts";
import { Linear } from "../src/layers/linear.ts";
import { ParameterSet } from "../src/layers/parameters.ts";
import type { WeightDType } from "../src/ops/weight_kernels.ts";
import { type StoredTensor, storedWeights } from "../tests/layers/_stored_weights.ts";
import { weightBlocks } from "../tests/ops/_block_weight.ts";
import { assertClose, numbers } from "../tests/_reference.ts";

const device = await Device.open();
const WIDTH = 4096;
const SHAPES: Record<string, [outputs: number, inputs: number]> = { "o": [WIDTH, WIDTH], "wo": [WIDTH, 10240] };
const PIECE = 32 << 20;

interface LoadCase {
  /** The file's name; its ending tells the format. */
  file: string;
  stored: StoredDType;
  /** How the weights are kept; as they are stored when not given. */
  kept?: WeightDType;
  /** Largest error of a product beside that of the stored numbers. */
  tolerance: number;
}

const CASES: LoadCase[] = [
  { file: "f32.safetensors", stored: "F32", kept: "f16", tolerance: 2e-3 },
  { file: "f16.safetensors", stored: "F16", kept: "f16", tolerance: 1e-5 },
  { file: "bf16.safetensors", stored: "BF16", kept: "f16", tolerance: 1e-4 },
  { file: "f16.pth", stored: "F16", kept: "f16", tolerance: 1e-5 },
  { file: "q8_0.gguf", stored: "Q8_0", tolerance: 1e-5 },
  { file: "q4_k.gguf", stored: "Q4_K", tolerance: 2e-3 },
  { file: "f16.safetensors", stored: "F16", kept: "int8", tolerance: 2e-2 },
  { file: "f16.safetensors", stored: "F16", kept: "int4", tolerance: 2e-1 },
];

function checkpoint(stored: StoredDType): WeightSource {
  const names = Object.entries(SHAPES).map(([name, shape]) => ({ name: `${name}.weight`, shape }));
  if (stored === "Q4_K") { // which nothing here quantizes to
    const tensors = names.map(({ name, shape }): [string, StoredTensor] => {
      const bytes = weightBlocks(stored, shape[0] * shape[1], 5, WIDTH ** -0.5);
      return [name, { dtype: stored, shape: [...shape], bytes }];
    });
    return storedWeights(Object.fromEntries(tensors));
  }
  const spread = { kind: "normal", scale: WIDTH ** -0.5 } as const;
  const random = new RandomWeights("random", names.map((tensor) => ({ ...tensor, spread })), 0, "F32");
  return castWeights(random, () => stored);
}

function write(file: OutputFile, path: string, source: WeightSource): Promise<void> {
  if (path.endsWith(".pth")) return writeTorchFile(file, source, {});
  if (path.endsWith(".gguf")) return writeGguf(file, source, { "general.architecture": "bench" });
  return writeSafetensors(file, source, {});
}

const folder = await Deno.makeTempDir({ prefix: "pixart-load-" });
const sizes = new Map<string, number>();
for (const { file, stored } of CASES) {
  if (sizes.has(file)) continue;
  using source = checkpoint(stored);
  await writeFileWhole(joinPath(folder, file), {}, (out) => write(out, file, source));
  sizes.set(file, (await Deno.stat(joinPath(folder, file))).size);
}

/** Reads a file as loading does, and nothing else. */
async function readAlone(path: string): Promise<void> {
  using source = await openBytes(path);
  const piece = new Uint8Array(Math.min(PIECE, source.size));
  for (let at = 0; at < source.size; at += PIECE) await source.read(at, Math.min(PIECE, source.size - at), piece);
}

/** Loads a file; with `check`, compares some of a product with the stored numbers. */
async function load(path: string, { stored, kept, tolerance }: LoadCase, check = false): Promise<void> {
  using parameters = new ParameterSet(device, "bench", kept, "");
  const layers = Object.entries(SHAPES).map(([name, [outputs, inputs]]) =>
    new Linear(parameters, name, inputs, outputs, { bias: false })
  );
  using source = await openWeightsFile(path);
  await parameters.load(source);
  await device.settle();
  if (!check) return;
  for (const [i, name] of Object.keys(SHAPES).entries()) {
    const [outputs, inputs] = SHAPES[name], x = numbers(inputs);
    const rec = new Recorder(device);
    using _scope = rec.scope();
    const y = layers[i].forward(rec, rec.upload(x, [1, inputs]));
    rec.submit();
    const actual = await read(device, y);
    const rows = [0, 1, 777, outputs - 1], expected: number[] = [];
    const rowBytes = source.info(`${name}.weight`).byteLength / outputs;
    for (const row of rows) {
      const w = floatsOf(stored, await source.read(`${name}.weight`, row * rowBytes, (row + 1) * rowBytes));
      expected.push(w.reduce((sum, value, k) => sum + value * x[k], 0));
    }
    assertClose(rows.map((row) => actual[row]), expected, tolerance, `${name} of ${path}`);
  }
}

/** Milliseconds of the fastest run of each. */
const best = new Map<string, { megabytes: number; read: number; load: number }>();

function bench(each: LoadCase, what: "read" | "load", work: (check?: boolean) => Promise<void>): void {
  const { file, kept } = each;
  const group = `load ${file}${kept === undefined || kept === "f16" ? "" : ` as ${kept}`}`;
  let isChecked = false;
  Deno.bench(`${group}, ${what}`, { group, baseline: what === "read", n: 3, warmup: 1 }, async (bench) => {
    if (!isChecked) await work(true);
    isChecked = true;
    bench.start();
    const start = performance.now();
    await work();
    const ms = performance.now() - start;
    bench.end();
    const one = best.get(group) ?? { megabytes: sizes.get(file)! / 1e6, read: Infinity, load: Infinity };
    best.set(group, { ...one, [what]: Math.min(one[what], ms) });
  });
}

for (const each of CASES) {
  const path = joinPath(folder, each.file);
  bench(each, "read", () => readAlone(path));
  bench(each, "load", (check) => load(path, each, check));
}

addEventListener("unload", () => {
  Deno.removeSync(folder, { recursive: true });
  console.log(`\n${device.description} through ${device.entry.backend}`);
  for (const [group, { megabytes, read, load }] of best) {
    const [alone, loading] = [read, load].map((ms) => `${(megabytes / ms * 1e3).toFixed(0)} MB/s`);
    console.log(`${group}: best ${loading} of ${megabytes.toFixed(0)} MB; reading alone ${alone}`);
  }
});
