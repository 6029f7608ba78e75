import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import { packWeight, type SourceDType } from "../../src/ops/pack_weight.ts";
import type { FloatDType } from "../../src/ops/weight_kernels.ts";
import { device } from "../_device.ts";
import { numbers } from "../_reference.ts";

const view = new DataView(new ArrayBuffer(8));

function floatBits(value: number): number {
  view.setFloat32(0, value);
  return view.getUint32(0);
}

/** Bits of a source element as bits of the packed type; the language's own half conversion is the reference. */
function convert(bits: number, from: SourceDType, to: FloatDType): number {
  if (from === to) return bits;
  let value: number;
  if (from === "f16") {
    view.setUint16(0, bits);
    value = view.getFloat16(0);
  } else {
    view.setUint32(0, from === "bf16" ? bits << 16 : bits);
    value = view.getFloat32(0);
  }
  if (to === "f32") return floatBits(value);
  view.setFloat16(0, value);
  return view.getUint16(0);
}

function words(elements: ArrayLike<number>, dtype: SourceDType): Uint32Array {
  if (dtype === "f32") return Uint32Array.from(elements);
  const out = new Uint32Array(Math.ceil(elements.length / 2));
  Array.from(elements).forEach((bits, i) => out[i >> 1] |= bits << (i % 2 * 16));
  return out;
}

/** Packs slices of rows one after another, and returns the packed weight's elements as bits. */
async function pack(
  slices: { elements: ArrayLike<number>; rows: number; columnOffset: number }[],
  { from, to, inFeatures, taps, columns }: {
    from: SourceDType;
    to: FloatDType;
    inFeatures: number;
    taps: number;
    columns: number;
  },
): Promise<number[]> {
  using out = device.tensor([taps * inFeatures, columns], to);
  // Old contents, so that columns which should become zero are seen to do so.
  device.write(out, new Uint32Array(out.bytes / 4).fill(0x12345678));
  const rec = new Recorder(device);
  using _scope = rec.scope();
  for (const { elements, rows, columnOffset } of slices) {
    const data = words(elements, from);
    const raw = rec.upload(data, [data.length]);
    packWeight(rec, raw, { sourceDType: from, rows, inFeatures, taps, out, columnOffset });
  }
  rec.submit();
  const [bits] = await readAll(device, [new Tensor(out.storage, [out.bytes / 4], "u32")]);
  if (to === "f32") return Array.from(bits);
  return Array.from(bits).flatMap((word) => [word & 0xffff, word >>> 16]);
}

/** The packed weight by definition: out[tap * inFeatures + i][n] = rows[n][i][tap]. */
function expected(
  elements: ArrayLike<number>,
  { from, to, inFeatures, taps, columns }: {
    from: SourceDType;
    to: FloatDType;
    inFeatures: number;
    taps: number;
    columns: number;
  },
): number[] {
  const rows = elements.length / inFeatures / taps;
  const out = [];
  for (let tap = 0; tap < taps; tap++) {
    for (let i = 0; i < inFeatures; i++) {
      for (let n = 0; n < columns; n++) {
        out.push(n < rows ? convert(elements[(n * inFeatures + i) * taps + tap], from, to) : 0);
      }
    }
  }
  return out;
}

function sample(count: number, dtype: SourceDType): number[] {
  const bits = Array.from(numbers(count, 3), floatBits);
  if (dtype === "f32") return bits;
  return bits.map((value) => dtype === "bf16" ? value >>> 16 : convert(value, "f32", "f16"));
}

Deno.test("packWeight() transposes rows of every type at friendly and ragged shapes", async () => {
  const shapes = [[16, 32, 1], [8, 8, 9], [5, 7, 1], [3, 5, 9], [1, 1, 1], [7, 3, 4]];
  for (const from of ["f32", "f16", "bf16"] as const) {
    for (const to of ["f32", "f16"] as const) {
      for (const [rows, inFeatures, taps] of shapes) {
        const layout = { from, to, inFeatures, taps, columns: Math.ceil(rows / 4) * 4 };
        const elements = sample(rows * inFeatures * taps, from);
        const actual = await pack([{ elements, rows, columnOffset: 0 }], layout);
        assert.deepEqual(actual, expected(elements, layout), `${from} to ${to} [${rows}, ${inFeatures}, ${taps}]`);
      }
    }
  }
});

Deno.test("packWeight() makes one weight of slices of rows and of several weights side by side", async () => {
  for (const to of ["f32", "f16"] as const) {
    for (const [inFeatures, taps] of [[5, 3], [36, 1]]) {
      // 4 + 3 rows of one weight, then 6 of the next, which begins in the middle of a group of four columns.
      const layout = { from: "f16" as const, to, inFeatures, taps, columns: 16 };
      const length = inFeatures * taps;
      const elements = sample(13 * length, "f16");
      const cut = (start: number, end: number) => elements.slice(start * length, end * length);
      const actual = await pack([
        { elements: cut(0, 4), rows: 4, columnOffset: 0 },
        { elements: cut(4, 7), rows: 3, columnOffset: 4 },
        { elements: cut(7, 13), rows: 6, columnOffset: 7 },
      ], layout);
      assert.deepEqual(actual, expected(elements, layout));
    }
  }
});

Deno.test("packWeight() keeps every half, and widens it exactly", async () => {
  const all = Array.from({ length: 65536 }, (_, i) => i);
  for (const to of ["f16", "f32"] as const) {
    const layout = { from: "f16" as const, to, inFeatures: 16384, taps: 1, columns: 4 };
    const actual = await pack([{ elements: all, rows: 4, columnOffset: 0 }], layout);
    const nan = (bits: number) => to === "f32" && (bits & 0x7fffffff) > 0x7f800000;
    // Which bits a NaN has is left open by the reference.
    assert.deepEqual(
      actual.map((bits) => nan(bits) ? -1 : bits),
      expected(all, layout).map((bits) => nan(bits) ? -1 : bits),
    );
  }
});

Deno.test("packWeight() rounds floats to the nearest half, ties to even", async () => {
  const floats = [0, -0, 1, 65504, 65519.99, 65520, 70000, -70000, 1e-30, 2 ** -24, 2 ** -25, -(2 ** -25), Infinity];
  for (let half = 0; half < 0x7c00; half += 37) {
    view.setUint16(0, half);
    const value = view.getFloat16(0);
    view.setUint16(0, half + 1);
    const middle = floatBits((value + Math.min(view.getFloat16(0), 65536)) / 2);
    for (const bits of [middle - 1, middle, middle + 1]) {
      view.setUint32(0, bits);
      floats.push(view.getFloat32(0), -view.getFloat32(0));
    }
  }
  while (floats.length % 4 !== 0) floats.push(0);
  for (const from of ["f32", "bf16"] as const) {
    const elements = floats.map((value) => from === "f32" ? floatBits(value) : floatBits(value) >>> 16);
    const layout = { from, to: "f16" as const, inFeatures: elements.length / 4, taps: 1, columns: 4 };
    const actual = await pack([{ elements, rows: 4, columnOffset: 0 }], layout);
    assert.deepEqual(actual, expected(elements, layout), from);
  }
});

Deno.test("packWeight() refuses words that are too few and results that do not fit", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const raw = rec.tensor([8], "u32");
  const options = { sourceDType: "f16" as const, rows: 4, inFeatures: 4 };
  packWeight(rec, raw, { ...options, out: rec.tensor([4, 4], "f16") });
  for (
    const wrong of [
      { ...options, rows: 5, out: rec.tensor([4, 8], "f16") },
      { ...options, out: rec.tensor([5, 4], "f16") },
      { ...options, out: rec.tensor([4, 4], "f16"), columnOffset: 4 },
      { ...options, out: rec.tensor([4, 6], "f16") },
      { ...options, out: rec.tensor([4, 4], "u32") },
    ]
  ) {
    assert.throws(() => packWeight(rec, raw, wrong), ShapeError);
  }
});
