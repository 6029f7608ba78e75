import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { dora } from "../../src/ops/dora.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";
import { runBoth } from "./_portable.ts";

function expected(rows: Float32Array, magnitude: Float32Array, direction: Float32Array): Float64Array {
  const columns = rows.length / magnitude.length;
  const lengths = Array.from(magnitude, (_, n) => Math.hypot(...direction.subarray(n * columns, (n + 1) * columns)));
  return Float64Array.from(rows, (value, i) => {
    const n = Math.floor(i / columns);
    return lengths[n] === 0 ? 0 : value * magnitude[n] / lengths[n];
  });
}

Deno.test("dora() gives rows their lengths, by their own direction or by another's", async () => {
  for (const [count, columns] of [[96, 384], [5, 37], [1, 4]]) {
    const rows = numbers(count * columns, 1, 3), magnitude = numbers(count, 2), direction = numbers(count * columns, 3);
    for (const other of [undefined, direction]) {
      const results = await runBoth((rec) => {
        const upload = (data: Float32Array, shape: number[]) => rec.upload(data, shape);
        const by = other && upload(other, [count, columns]);
        return dora(rec, upload(rows, [count, columns]), upload(magnitude, [count]), by);
      });
      for (const actual of results) {
        assertClose(actual, expected(rows, magnitude, other ?? rows), 2e-6, `[${count}, ${columns}] ${!!other}`);
      }
    }
  }
});

Deno.test("dora() takes more rows than one axis of a dispatch holds groups", async () => {
  const count = 4 * 65536 + 3;
  const rows = numbers(count, 1), magnitude = numbers(count, 2);
  const actual = await run((rec) => dora(rec, rec.upload(rows, [count, 1]), rec.upload(magnitude, [count])));
  assertClose(actual, expected(rows, magnitude, rows), 2e-6);
});

Deno.test("dora() makes zeros of a row without a direction, and not NaN", async () => {
  for (
    const actual of await runBoth((rec) =>
      dora(rec, rec.upload(new Float32Array(8), [2, 4]), rec.upload(numbers(2), [2]))
    )
  ) {
    assert.deepEqual(Array.from(actual), Array(8).fill(0));
  }
});

Deno.test("dora() refuses lengths and directions that are not the rows'", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const rows = rec.tensor([3, 8]);
  assert.throws(() => dora(rec, rows, rec.tensor([4])), ShapeError);
  assert.throws(() => dora(rec, rows, rec.tensor([3]), rec.tensor([3, 4])), ShapeError);
  assert.throws(() => dora(rec, rec.tensor([24]), rec.tensor([24])), ShapeError);
});
