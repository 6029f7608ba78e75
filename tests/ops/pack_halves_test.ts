import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { HALVES_DIVISOR, halvesStride, packHalves } from "../../src/ops/pack_halves.ts";
import { run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("packHalves() rounds to halves of a sixteenth, and pads rows and their end with zeros", async () => {
  for (const [rows, depth] of [[3, 64], [5, 68], [70, 132]]) {
    for (const silu of [false, true]) {
      const x = numbers(rows * depth, 1, 8), stride = halvesStride(depth), zeroRows = silu ? 2 : 0;
      const actual = await run((rec) => packHalves(rec, rec.upload(x, [rows, depth]), { silu, zeroRows }));
      const expected = new Float64Array((rows + zeroRows) * stride);
      for (let i = 0; i < rows * depth; i++) {
        const value = silu ? x[i] / (1 + Math.exp(-x[i])) : x[i];
        expected[Math.floor(i / depth) * stride + i % depth] = value / HALVES_DIVISOR;
      }
      assertClose(actual, expected, 2 ** -11, `[${rows}, ${depth}] ${silu}`);
      assert.deepEqual(actual.subarray(depth, stride), new Float32Array(stride - depth));
    }
  }
});

Deno.test("packHalves() keeps numbers up to a million", async () => {
  const actual = await run((rec) => packHalves(rec, rec.upload(Float32Array.of(1e6, -65536, 1, 0), [1, 4])));
  assertClose(actual.subarray(0, 4), [62500, -4096, 1 / 16, 0], 2 ** -11);
});

Deno.test("packHalves() refuses rows that are no multiple of four", async () => {
  await assert.rejects(
    run((rec) => packHalves(rec, rec.upload(numbers(12), [2, 6]))),
    (error) => error instanceof ShapeError && error.message.includes("multiple of 4: 6"),
  );
});
