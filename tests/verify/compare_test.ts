// The comparison: what passes, what does not, and which figures are printed.

import assert from "node:assert/strict";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../src/io/half.ts";
import { compareExactly, compareFloats, compareText, shorten } from "../../src/verify/compare.ts";

const vector = (...data: number[]) => ({ data: Float32Array.from(data), shape: [data.length] });

Deno.test("compareFloats() gives the largest and the relative L2 error, and passes up to the tolerance", () => {
  const row = compareFloats("out.x", vector(3, 4.5, 0), vector(3, 4, 0), 0.1);
  assert.deepEqual(row, { name: "out.x", maxAbsError: 0.5, relativeL2: 0.1, ok: true });
  assert.equal(compareFloats("out.x", vector(3, 4.5, 0), vector(3, 4, 0), 0.09).ok, false);
  assert.equal(compareFloats("out.x", vector(1), vector(1), 0).ok, true);
});

Deno.test("compareFloats() fails on a NaN or an infinity of either side, even where both have it", () => {
  for (const [ours, theirs] of [[NaN, 1], [1, NaN], [NaN, NaN], [Infinity, Infinity], [-Infinity, 1], [1, Infinity]]) {
    const row = compareFloats("out.x", vector(0, ours), vector(0, theirs), Infinity);
    assert.equal(row.ok, false, `${ours} beside ${theirs}`);
    assert.match(row.note ?? "", /1 of 2 in (ours|the reference) are not finite, the first (NaN|-?Infinity) at \[1\]/);
  }
});

Deno.test("compareFloats() gives no figure where shapes differ or nothing is there", () => {
  const square = { data: new Float32Array(4), shape: [2, 2] };
  for (const [ours, theirs] of [[square, vector(0, 0, 0, 0)], [vector(), vector()], [vector(1), vector(1, 2)]]) {
    const { ok, maxAbsError, relativeL2, note } = compareFloats("out.x", ours, theirs, 1);
    assert.deepEqual([ok, maxAbsError, relativeL2], [false, NaN, NaN]);
    assert.match(note ?? "", /ours is \[.*\], the reference \[.*\]/);
  }
});

Deno.test("compareFloats() takes nothing but zeros for a reference of zeros", () => {
  assert.equal(compareFloats("out.x", vector(0, 0), vector(0, 0), 1e-4).ok, true);
  const row = compareFloats("out.x", vector(0, 1e-20), vector(0, 0), 1e-4);
  assert.deepEqual([row.ok, row.relativeL2], [false, Infinity]);
});

Deno.test("compareFloats() rounds ours as the reference was, so that halves pass at f32's tolerance and errors do not", () => {
  const exact = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i) + 2);
  const stored = { F16: f16ToF32(f32ToF16(exact)), BF16: bf16ToF32(f32ToBf16(exact)) };
  for (const dtype of ["F16", "BF16"] as const) {
    const reference = { data: stored[dtype], shape: [1000], dtype };
    const row = compareFloats("out.x", { data: exact, shape: [1000] }, reference, 0);
    assert.deepEqual([row.ok, row.maxAbsError, row.note], [true, 0, `compared in ${dtype}, as it was recorded`]);
    const wrong = exact.map((value, i) => i === 500 ? value * 1.1 : value);
    assert.equal(compareFloats("out.x", { data: wrong, shape: [1000] }, reference, 1e-4).ok, false);
  }
});

Deno.test("compareExactly() counts what differs, and what one side lacks", () => {
  assert.deepEqual(compareExactly("ids", [3, 4], [3, 4]), { name: "ids", maxAbsError: 0, relativeL2: 0, ok: true });
  const row = compareExactly("ids", [3, 5, 1], [3, 4]);
  assert.deepEqual([row.ok, row.maxAbsError, row.relativeL2], [false, 2, Math.sqrt(2 / 25)]);
  assert.equal(row.note, "2 of 2 differ: [1] is 5, in the reference 4");
  assert.equal(compareExactly("ids", [1], [1, 0]).note, "1 of 2 differ: [1] is missing, in the reference 0");
});

Deno.test("compareText() shows both texts where they differ", () => {
  assert.equal(compareText("a", "cat", "cat").ok, true);
  const row = compareText("a", "cat", "cats");
  assert.deepEqual([row.ok, row.maxAbsError, row.note], [false, 1, '"cat", in the reference "cats"']);
  assert.equal(shorten("x\n".repeat(50), 8), '"x\\nx\\nx..."');
});
