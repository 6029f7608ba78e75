// Sixteen-bit floats against JavaScript's own rounding and against every bit pattern.
import assert from "node:assert/strict";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../src/io/half.ts";

const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** f32 values that are hard to round: every f16 and bf16, the middles between neighbours, and a step to each side. */
function hardFloats(): Float32Array<ArrayBuffer> {
  const values: number[] = [];
  for (const exact of [f16ToF32(all), bf16ToF32(all)]) {
    for (let i = 0; i + 1 < exact.length; i++) {
      const middle = Math.fround((exact[i] + exact[i + 1]) / 2);
      values.push(exact[i], middle);
    }
  }
  const floats = Float32Array.from(values);
  const bits = new Uint32Array(floats.buffer);
  const beside = [-1, 1].map((step) => new Float32Array(bits.map((word) => word + step).buffer));
  return Float32Array.from([...floats, ...beside[0], ...beside[1], 65519.99, 65520, 3.4e38, 2 ** -25, -(2 ** -149)]);
}

Deno.test("f16ToF32() agrees with DataView for every bit pattern", () => {
  const view = new DataView(all.buffer);
  const widened = f16ToF32(all);
  for (let bits = 0; bits < 65536; bits++) {
    assert.ok(Object.is(widened[bits], view.getFloat16(2 * bits, true)), bits.toString(16));
  }
});

Deno.test("f32ToF16() rounds as JavaScript's Float16Array, ties and denormals included", () => {
  const floats = hardFloats();
  const expected = new Uint16Array(new Float16Array(floats).buffer);
  const narrowed = f32ToF16(floats);
  for (let i = 0; i < floats.length; i++) {
    if (Number.isNaN(floats[i])) assert.ok((narrowed[i] & 0x7fff) > 0x7c00, "a NaN stays one");
    else assert.equal(narrowed[i], expected[i], `${floats[i]}`);
  }
});

Deno.test("bf16ToF32() moves the bits, and f32ToBf16() takes them back", () => {
  const widened = bf16ToF32(all);
  assert.deepEqual(new Uint32Array(widened.buffer), Uint32Array.from(all, (bits) => bits * 65536));
  const back = f32ToBf16(widened);
  for (let bits = 0; bits < 65536; bits++) {
    assert.equal(back[bits], Number.isNaN(widened[bits]) ? bits | 0x40 : bits);
  }
});

Deno.test("f32ToBf16() rounds to the nearest and ties to even", () => {
  const floats = hardFloats().filter((value) => !Number.isNaN(value));
  const words = new Uint32Array(floats.buffer);
  const narrowed = f32ToBf16(floats);
  for (let i = 0; i < floats.length; i++) {
    const [down, rest] = [words[i] >>> 16, words[i] & 0xffff];
    const expected = rest > 0x8000 || (rest === 0x8000 && down & 1) ? down + 1 : down;
    assert.equal(narrowed[i], expected, `${floats[i]}`);
  }
});

Deno.test("f32ToF16() keeps a NaN whose only bits are low ones", () => {
  const nan = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
  assert.deepEqual([...f32ToF16(nan)], [0x7e00, 0xfe00]);
  assert.deepEqual([...f32ToBf16(nan)], [0x7fc0, 0xffc0]);
});
