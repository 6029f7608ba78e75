import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { read, readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../src/io/half.ts";
import { dequantizeBlocks, quantizeQ4_0 } from "../../src/io/gguf_blocks.ts";
import { BLOCK_FORMATS, type BlockFormat, BlockWeight, FORMAT_OF } from "../../src/ops/block_weight.ts";
import { packQuantized } from "../../src/ops/pack_quantized.ts";
import type { SourceDType } from "../../src/ops/pack_weight.ts";
import { device } from "../_device.ts";
import { numbers, relativeL2 } from "../_reference.ts";
import { unpack } from "./_block_weight.ts";

/** Words of `floats` in a type of checkpoints, and the floats that they stand for. */
function stored(
  floats: Float32Array<ArrayBuffer>,
  dtype: SourceDType,
): { words: Uint32Array<ArrayBuffer>; exact: Float32Array } {
  if (dtype === "f32") return { words: new Uint32Array(floats.buffer), exact: floats };
  const halves = new Uint16Array(Math.ceil(floats.length / 2) * 2);
  halves.set(dtype === "f16" ? f32ToF16(floats) : f32ToBf16(floats));
  const exact = (dtype === "f16" ? f16ToF32 : bf16ToF32)(halves.slice(0, floats.length));
  return { words: new Uint32Array(halves.buffer), exact };
}

/** Quantizes rows [rows, depth], in slices of `step` rows, and returns what the weight stands for, [depth, columns]. */
async function quantized(
  floats: Float32Array<ArrayBuffer>,
  rows: number,
  depth: number,
  format: BlockFormat,
  { dtype = "f32" as SourceDType, step = rows } = {},
) {
  using out = new BlockWeight(device, [depth, Math.ceil(rows / 4) * 4], format);
  device.write(out.values, new Uint32Array(out.values.size).fill(0x12345678));
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const flags = rec.upload(new Uint32Array(3), [3]);
  for (let row = 0; row < rows; row += step) {
    const slice = floats.slice(row * depth, Math.min(row + step, rows) * depth);
    const { words } = stored(slice, dtype);
    const raw = rec.upload(words, [words.length]);
    const check = { flags, index: 1 };
    packQuantized(rec, raw, { sourceDType: dtype, rows: slice.length / depth, out, columnOffset: row, check });
  }
  rec.submit();
  const notes = Array.from((await readAll(device, [flags]))[0]);
  return { ...await unpack(device, out), notes, columns: out.shape[1] };
}

const EXTENTS: [rows: number, depth: number][] = [[8, 64], [13, 72], [6, 4], [33, 300]];
const withMinimum: BlockFormat = { dtype: "int4", blockLength: 32, hasMinimum: true };
const FORMATS = [BLOCK_FORMATS.int8, BLOCK_FORMATS.int4, withMinimum, FORMAT_OF.Q6_K, FORMAT_OF.Q5_1, FORMAT_OF.Q2_K];

Deno.test("packQuantized() takes each number to the nearest step of its block", async () => {
  for (const [rows, depth] of EXTENTS) {
    for (const dtype of ["f32", "f16", "bf16"] as const) {
      const floats = numbers(rows * depth, rows).map((value, i) =>
        value * 3 ** (Math.floor(i / 7) % 5)
      ) as Float32Array<ArrayBuffer>;
      const { exact } = stored(floats, dtype);
      for (const format of FORMATS) {
        const { numbers: actual, scales, columns } = await quantized(floats, rows, depth, format, { dtype });
        const what = `[${rows}, ${depth}] ${dtype} ${JSON.stringify(format)}`;
        for (let n = 0; n < columns; n++) {
          for (let k = 0; k < depth; k++) {
            const value = actual[k * columns + n];
            if (n >= rows) {
              assert.equal(value, 0, `${what}: column ${n} is beyond the rows`);
              continue;
            }
            const scale = Math.abs(scales[Math.floor(k / format.blockLength) * columns + n]);
            const error = Math.abs(value - exact[n * depth + k]);
            // Four bits reach one step further on one side; a scale chosen smaller cuts up to two steps off the largest.
            const steps = format.dtype === "int8" ? 0.51 : 2.01;
            assert.ok(error <= steps * scale + 1e-7, `${what}: [${k}, ${n}] ${value} for ${exact[n * depth + k]}`);
          }
        }
      }
    }
  }
});

Deno.test("packQuantized() makes a smaller error with four bits than Q4_0 does, and a fraction of it with eight", async () => {
  const [rows, depth] = [64, 256];
  const uniform = numbers(rows * depth * 3, 9);
  // Sums of three are nearly normal, as weights are.
  const floats = Float32Array.from(
    { length: rows * depth },
    (_, i) => uniform[3 * i] + uniform[3 * i + 1] + uniform[3 * i + 2],
  );
  const errorOf = async (format: BlockFormat) => {
    const { numbers: actual, columns } = await quantized(floats, rows, depth, format);
    return relativeL2(floats.map((_, i) => actual[(i % depth) * columns + Math.floor(i / depth)]), floats);
  };
  const theirs = relativeL2(dequantizeBlocks("Q4_0", quantizeQ4_0(floats)), floats);
  const [four, eight] = [await errorOf(BLOCK_FORMATS.int4), await errorOf(BLOCK_FORMATS.int8)];
  assert.ok(four < 0.97 * theirs && four > 0.5 * theirs, `${four} and ${theirs}`);
  assert.ok(eight < 0.08 * four && eight > 0.04 * four, `${eight} and ${four}`);
});

Deno.test("packQuantized() makes one weight of slices of rows", async () => {
  const [rows, depth] = [22, 40];
  const floats = numbers(rows * depth) as Float32Array<ArrayBuffer>;
  for (const format of FORMATS) {
    const whole = await quantized(floats, rows, depth, format);
    assert.deepEqual(await quantized(floats, rows, depth, format, { step: 8 }), whole);
    assert.deepEqual(whole.notes, [0, 0, 0]);
  }
});

Deno.test("packQuantized() makes zeros of blocks of zeros, and keeps constants", async () => {
  const [rows, depth] = [4, 64];
  for (const format of FORMATS) {
    const floats = Float32Array.from({ length: rows * depth }, (_, i) => [0, -0, 0.25, -3][Math.floor(i / depth)]);
    const { numbers: actual, notes } = await quantized(floats, rows, depth, format);
    for (let k = 0; k < depth; k++) {
      const row = Array.from(actual.subarray(k * 4, k * 4 + 4));
      assert.ok(row[0] === 0 && row[1] === 0, `${row}`);
      assert.ok(Math.abs(row[2] - 0.25) < 1e-3 && Math.abs(row[3] + 3) < 1e-2, `${row}`);
    }
    assert.deepEqual(notes, [0, 0, 0]);
  }
});

Deno.test("packQuantized() keeps what is not finite in sight, in its block alone, and notes it", async () => {
  const [rows, depth] = [4, 64];
  for (const bad of [NaN, Infinity, -Infinity]) {
    for (const dtype of ["f32", "f16", "bf16"] as const) {
      for (const format of [BLOCK_FORMATS.int8, BLOCK_FORMATS.int4]) {
        const floats = numbers(rows * depth) as Float32Array<ArrayBuffer>;
        floats[2 * depth + 40] = bad;
        const { numbers: actual, notes } = await quantized(floats, rows, depth, format, { dtype });
        assert.deepEqual(notes, [0, 1, 0], `${bad} ${dtype}`);
        actual.forEach((value, i) =>
          assert.equal(Number.isFinite(value), !(i % 4 === 2 && i >= 32 * 4), `${bad} ${i}`)
        );
      }
    }
  }
});

Deno.test("packQuantized() refuses words that are too few and columns that do not fit", async () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  using out = new BlockWeight(device, [8, 8], BLOCK_FORMATS.int8);
  const raw = rec.tensor([32], "u32");
  const options = { sourceDType: "f32" as const, rows: 4, out };
  packQuantized(rec, raw, options);
  for (const wrong of [{ rows: 5 }, { columnOffset: 2 }, { columnOffset: 8 }, { columnOffset: -4 }]) {
    assert.throws(() => packQuantized(rec, raw, { ...options, ...wrong }), ShapeError);
  }
  assert.throws(() => new BlockWeight(device, [6, 8], BLOCK_FORMATS.int4), ShapeError);
  rec.submit();
  await read(device, device.absent);
});
