// LoRA and DoRA on weights as they are streamed to the GPU, against loops that follow PEFT's definition.

import assert from "node:assert/strict";
import { readAll } from "../../src/gpu/readback.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { bytesOf } from "../../src/io/byte_source.ts";
import { f16ToF32, f32ToBf16, f32ToF16 } from "../../src/io/half.ts";
import type { LoraUpdate } from "../../src/io/lora_file.ts";
import { encodeSafetensors, openSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import { applyLoras, type LoraStep } from "../../src/layers/lora.ts";
import { type Matrix, type MatrixSpec, ParameterSet, type WeightEdits } from "../../src/layers/parameters.ts";
import { device } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

interface Shape {
  rows: number;
  depth: number;
}

function update({ rows, depth }: Shape, rank: number, seed: number, isDora = false): LoraUpdate {
  return {
    rank,
    scaling: 8 / rank,
    down: numbers(rank * depth, seed, 0.3),
    up: numbers(rows * rank, seed + 1, 0.3),
    magnitude: isDora ? numbers(rows, seed + 2).map((value) => 1.5 + value) : undefined,
  };
}

/** W [rows, depth] with steps applied, in doubles. */
function expected(w: Float32Array, { rows, depth }: Shape, groups: readonly (readonly LoraStep[])[]): Float64Array {
  let out = Float64Array.from(w);
  const added = (to: Float64Array, { update: { rank, scaling, down, up }, scale }: LoraStep) =>
    to.map((value, i) => {
      const [n, k] = [Math.floor(i / depth), i % depth];
      for (let r = 0; r < rank; r++) value += scale * scaling * up[n * rank + r] * down[r * depth + k];
      return value;
    });
  for (const steps of groups) {
    const base = out;
    for (const step of steps) {
      out = added(out, step);
      const { magnitude } = step.update;
      if (!magnitude) continue;
      const direction = added(base, step);
      for (let n = 0; n < rows; n++) {
        const length = Math.hypot(...direction.subarray(n * depth, (n + 1) * depth));
        for (let k = 0; k < depth; k++) out[n * depth + k] *= magnitude[n] / length;
      }
    }
  }
  return out;
}

const editsOf = (plans: Record<string, LoraStep[][]>): WeightEdits => ({
  has: (name) => name in plans,
  apply(rec, name, rows, first, keep) {
    for (const steps of plans[name]) applyLoras(rec, rows, steps, first, keep);
  },
});

function open(tensors: Record<string, TensorData>) {
  return openSafetensors(bytesOf("checkpoint", encodeSafetensors(tensors)));
}

/** Loads one matrix, reloads it with edits, and returns its columns as rows [N, K]. */
async function reloaded(
  names: string[],
  spec: MatrixSpec,
  tensors: Record<string, TensorData>,
  edits: WeightEdits,
  dtype: "f32" | "f16",
): Promise<Float32Array> {
  using parameters = new ParameterSet(device, "a model", dtype);
  const matrix: Matrix = parameters.matrix(names, spec);
  using source = await open(tensors);
  await parameters.load(source);
  await parameters.reload(source, [matrix], edits);
  const k = spec.inFeatures * spec.taps;
  const out = new Float32Array(matrix.columns * k);
  for (const { start, columns, weight } of matrix.parts) {
    const [packed] = await readAll(device, [weight as Tensor]);
    const width = weight.shape[1];
    for (let row = 0; row < k; row++) {
      // Rows of the packed matrix are tap-major, those of the checkpoint channel-major.
      const source = (row % spec.inFeatures) * spec.taps + Math.floor(row / spec.inFeatures);
      for (let n = 0; n < columns; n++) out[(start + n) * k + source] = packed[row * width + n];
    }
  }
  return out;
}

const f32 = (shape: number[], data: Float32Array): TensorData => ({ dtype: "F32", shape, data });

Deno.test("applyLoras() adds low-rank products and sets lengths as PEFT's forward pass does", async () => {
  const plain: [number, number, number, boolean][] = [[4, 1, 1, false]];
  const chains = [plain, [[3, 0.5, 1, true]], [[4, 1, 1, false], [6, -0.7, 4, false]]] as (typeof plain)[];
  chains.push([[4, 1, 1, true], [2, 0.5, 4, false]], [[4, 0.8, 1, false], [5, 1, 4, true], [1, 2, 7, true]]);
  for (const [rows, depth] of [[32, 24], [7, 10]]) {
    const w = numbers(rows * depth, 9);
    for (const chain of chains) {
      const steps = chain.map(([rank, scale, seed, isDora]) => ({
        scale,
        update: update({ rows, depth }, rank, 10 * seed, isDora),
      }));
      const spec = { outFeatures: rows, inFeatures: depth, taps: 1, shape: [rows, depth] };
      const actual = await reloaded(["w"], spec, { w: f32([rows, depth], w) }, editsOf({ w: [steps] }), "f32");
      assertClose(actual, expected(w, { rows, depth }, [steps]), 3e-6, `[${rows}, ${depth}] ${JSON.stringify(chain)}`);
    }
  }
});

Deno.test("applyLoras() measures a DoRA's rows on what was fused before, not on what is beside it", async () => {
  const shape = { rows: 12, depth: 8 };
  const w = numbers(96, 5);
  const [a, b] = [update(shape, 2, 20), update(shape, 2, 30, true)].map((one) => ({ update: one, scale: 1 }));
  const spec = { outFeatures: 12, inFeatures: 8, taps: 1, shape: [12, 8] };
  const results = [];
  for (const groups of [[[a, b]], [[a], [b]]]) {
    const actual = await reloaded(["w"], spec, { w: f32([12, 8], w) }, editsOf({ w: groups }), "f32");
    assertClose(actual, expected(w, shape, groups), 3e-6);
    results.push(actual);
  }
  assert.notDeepEqual(results[0], results[1]);
});

Deno.test("ParameterSet.reload() changes some of the weights that stand side by side, in f32 and with one rounding in f16", async () => {
  const shape = { rows: 10, depth: 12 };
  const spec = { outFeatures: 10, inFeatures: 12, taps: 1, shape: [10, 12] };
  const data = ["q", "k", "v"].map((_, i) => numbers(120, i + 1));
  const tensors = { q: f32([10, 12], data[0]), k: f32([10, 12], data[1]), v: f32([10, 12], data[2]) };
  const plans = {
    k: [[{ update: update(shape, 4, 40, true), scale: 0.6 }]],
    v: [[{ update: update(shape, 2, 50), scale: 1.5 }, { update: update(shape, 3, 60), scale: -0.25 }]],
  };
  const exact = [...data[0], ...expected(data[1], shape, plans.k), ...expected(data[2], shape, plans.v)];
  assertClose(await reloaded(["q", "k", "v"], spec, tensors, editsOf(plans), "f32"), exact, 3e-6);
  const halves = await reloaded(["q", "k", "v"], spec, tensors, editsOf(plans), "f16");
  const rounded = f16ToF32(f32ToF16(Float32Array.from(exact)));
  // The GPU's sums differ from doubles in the last bits, so that a few may round to the neighbour.
  const other = halves.filter((value, i) => value !== rounded[i]).length;
  assert.ok(other <= 2, `${other} of ${halves.length} are not the nearest half`);
  assertClose(halves, rounded, 1e-3);
});

Deno.test("ParameterSet.reload() changes convolutions, of checkpoints in halves", async () => {
  const shape = { rows: 6, depth: 4 * 9 };
  const spec = { outFeatures: 6, inFeatures: 4, taps: 9, shape: [6, 4, 3, 3] };
  const plan = [[{ update: update(shape, 2, 70, true), scale: 0.5 }, { update: update(shape, 4, 80), scale: 1 }]];
  const w = numbers(6 * 36, 8);
  for (const dtype of ["BF16", "F16"] as const) {
    const bits = dtype === "BF16" ? f32ToBf16(w) : f32ToF16(w);
    const stored = dtype === "F16"
      ? f16ToF32(bits)
      : new Float32Array(Uint32Array.from(bits, (value) => value << 16).buffer);
    const tensors = { "c.weight": { dtype, shape: [6, 4, 3, 3], data: bits } };
    const actual = await reloaded(["c.weight"], spec, tensors, editsOf({ "c.weight": plan }), "f32");
    assertClose(actual, expected(stored, shape, plan), 3e-6, dtype);
  }
});

Deno.test("ParameterSet.reload() refuses a checkpoint whose weights have other shapes than before", async () => {
  using parameters = new ParameterSet(device, "a model", "f32");
  const spec = { outFeatures: 4, inFeatures: 4, taps: 1, shape: [4, 4] };
  const matrix = parameters.matrix("w", spec);
  using source = await open({ w: f32([4, 4], numbers(16)) });
  await parameters.load(source);
  using other = await open({ w: f32([4, 8], numbers(32)) });
  await assert.rejects(parameters.reload(other, [matrix], editsOf({})), /"w" F32 \[4, 8\] .* as it was \[4, 4\]/);
});
