import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { timestepEmbedding } from "../../src/ops/timestep_embedding.ts";
import { device, run } from "../_device.ts";

/** Every f32 rounding that PyTorch makes up to the argument, then exact sinusoids. */
function reference(times: number[], width: number): number[] {
  const half = width / 2, f = Math.fround;
  return times.flatMap((time) => {
    const args = Array.from({ length: half }, (_, i) => {
      const frequency = f(Math.exp(f(f(f(-Math.log(10000)) * i) / half)));
      return f(f(time) * frequency);
    });
    return [...args.map(Math.cos), ...args.map(Math.sin)];
  });
}

Deno.test("timestepEmbedding() is right to 5e-7 at every size of its argument", async () => {
  for (const [times, width] of [[[999, 951.05, 0, 1, 0.001, 499.5, 20, 7], 256], [[4096, 8191.5, -3.25], 6]] as const) {
    const actual = await run((rec) =>
      timestepEmbedding(rec, rec.upload(Float32Array.from(times), [times.length]), width)
    );
    const expected = reference([...times], width);
    assert.equal(actual.length, expected.length);
    expected.forEach((value, i) => {
      const error = Math.abs(actual[i] - value);
      assert.ok(error <= 5e-7, `[${Math.floor(i / width)}, ${i % width}] ${actual[i]} expected ${value}`);
    });
  }
});

Deno.test("timestepEmbedding() matches PyTorch at t = 999", async () => {
  // From torch 2.13 on a CPU. Its exp is one ulp off for two of the 128 frequencies (columns 12 and 106), which at this time
  // is 3e-5 in the first of them; elsewhere it is the nearest f32, as here.
  const columns = [
    [0, 0.9996498227119446],
    [1, 0.9637852907180786],
    [2, -0.39902055263519287],
    [33, 0.2832356095314026],
    [64, -0.8444697856903076],
    [127, 0.9942431449890137],
    [128, -0.02646075189113617],
    [129, -0.2666793763637543],
    [130, -0.9169420003890991],
    [161, -0.9590503573417664],
    [192, -0.5356031656265259],
    [255, 0.107147216796875],
  ];
  const actual = await run((rec) => timestepEmbedding(rec, rec.upload(Float32Array.of(999), [1]), 256));
  for (const [column, value] of columns) assert.ok(Math.abs(actual[column] - value) <= 2e-6, `column ${column}`);
});

Deno.test("timestepEmbedding() refuses odd widths and times that are no row", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => timestepEmbedding(rec, rec.tensor([2]), 255), /f32\[2\].*even.*255/);
  assert.throws(() => timestepEmbedding(rec, rec.tensor([2, 1]), 256), ShapeError);
});
