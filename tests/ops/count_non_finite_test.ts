import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { countNonFinite } from "../../src/ops/count_non_finite.ts";
import { device, run } from "../_device.ts";
import { numbers } from "../_reference.ts";

Deno.test("countNonFinite() counts NaN and both infinities and nothing else", async () => {
  for (
    const [count, places] of [[4096, [0, 63, 64, 4095]], [7, [6]], [200_003, [1, 65_536, 131_073, 200_002]], [
      5,
      [],
    ]] as const
  ) {
    const x = numbers(count, 1);
    x[2] = 3.4028234e38;
    x[3] = 1e-42;
    places.forEach((place, i) => x[place] = [NaN, Infinity, -Infinity][i % 3]);
    const actual = await run((rec) => countNonFinite(rec, rec.upload(x, [count])));
    assert.deepEqual([...actual], [places.length], `${count} elements`);
  }
});

Deno.test("countNonFinite() adds to the count that it is told and to no other", async () => {
  const counts = await run((rec) => {
    const x = rec.upload(Float32Array.of(1, NaN, Infinity), [3]);
    const counts = rec.upload(Uint32Array.of(5, 5, 5), [3]);
    countNonFinite(rec, x, { counts, at: 2 });
    return countNonFinite(rec, x, { counts, at: 1 });
  });
  assert.deepEqual([...counts], [5, 7, 7]);
});

Deno.test("countNonFinite() refuses what is not f32, and a place that is none", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => countNonFinite(rec, rec.tensor([4], "f16")), ShapeError);
  const place = { counts: rec.tensor([2], "u32"), at: 2 };
  assert.throws(() => countNonFinite(rec, rec.tensor([4]), place), ShapeError);
});
