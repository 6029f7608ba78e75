import assert from "node:assert/strict";
import { readAll } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { toImage, toPixels } from "../../src/ops/to_pixels.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

/** As f32 arithmetic has it, then NumPy's rounding: ties to even. */
function byte(value: number): number {
  if (Number.isNaN(value)) return 0;
  const scaled = Math.fround(255 * Math.min(Math.max(Math.fround(value * 0.5 + 0.5), 0), 1));
  const floor = Math.floor(scaled), rest = scaled - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

async function pixels(x: Float32Array, shape: number[]): Promise<Uint32Array> {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const y = toPixels(rec, rec.upload(x, shape));
  assert.deepEqual(y.shape, shape.slice(0, 3));
  rec.submit();
  return (await readAll(device, [y]))[0] as Uint32Array;
}

Deno.test("toPixels() rounds to bytes, red lowest, opaque", async () => {
  for (const shape of [[2, 8, 16, 3], [1, 7, 5, 3]]) {
    const x = numbers(shape.reduce((a, b) => a * b), 1, 1.3);
    const expected = Array.from({ length: x.length / 3 }, (_, i) => {
      const [red, green, blue] = [0, 1, 2].map((c) => byte(x[3 * i + c]));
      return (red | green << 8 | blue << 16 | 255 << 24) >>> 0;
    });
    assert.deepEqual([...await pixels(x, shape)], expected);
  }
});

Deno.test("toPixels() rounds every tie to even and takes what is no number in range", async () => {
  // The f32 value whose product with 255 is k + 1/2 exactly, where there is one among the neighbours.
  const ties: number[] = [];
  for (let k = 0; k < 255; k++) {
    const middle = Math.fround((k + 0.5) / 127.5 - 1);
    for (const step of [-1, 0, 1]) {
      const value = Math.fround(middle + step * 2 ** -24);
      if (Math.fround(255 * Math.fround(value * 0.5 + 0.5)) % 1 === 0.5) ties.push(value);
    }
  }
  assert.ok(ties.some((value) => Math.floor(255 * (value * 0.5 + 0.5)) % 2 === 0) && ties.length > 50);
  const special = [0, -1, 1, -1e30, 1e30, Infinity, -Infinity, NaN, -0.99999];
  const values = [...special, ...ties];
  while (values.length % 3 !== 0) values.push(0);
  const actual = await pixels(Float32Array.from(values), [1, 1, values.length / 3, 3]);
  const bytes = [...actual].flatMap((word) => [word & 255, word >> 8 & 255, word >> 16 & 255]);
  assert.deepEqual(bytes, [...Float32Array.from(values)].map(byte));
});

Deno.test("toImage() maps to 0..1 in either layout", async () => {
  for (const [batch, height, width, channels] of [[2, 8, 16, 3], [1, 7, 5, 3], [3, 1, 9, 4]]) {
    const shape = [batch, height, width, channels], pixelCount = height * width;
    const x = numbers(batch * pixelCount * channels, 1, 1.3);
    const last = x.map((value) => Math.min(Math.max(value / 2 + 0.5, 0), 1));
    const first = last.map((_, i) => {
      const plane = Math.floor(i / pixelCount), b = Math.floor(plane / channels);
      return last[(b * pixelCount + i % pixelCount) * channels + plane % channels];
    });
    assertClose(await run((rec) => toImage(rec, rec.upload(x, shape), "nhwc")), last, 1e-7);
    assertClose(await run((rec) => toImage(rec, rec.upload(x, shape), "nchw")), first, 1e-7);
  }
  const odd = await run((rec) => toImage(rec, rec.upload(Float32Array.of(NaN, Infinity), [1, 1, 2, 1]), "nchw"));
  assert.deepEqual([...odd], [NaN, 1]);
});

Deno.test("toPixels() and toImage() refuse what is no image", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => toPixels(rec, rec.tensor([1, 4, 4, 4])), /f32\[1, 4, 4, 4\].*\[B, H, W, 3\]/);
  assert.throws(() => toPixels(rec, rec.tensor([4, 4, 3])), /f32\[4, 4, 3\]/);
  assert.throws(() => toImage(rec, rec.tensor([4, 4, 3]), "nhwc"), /f32\[4, 4, 3\].*\[B, H, W, C\]/);
});
