import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { embedding } from "../../src/ops/embedding.ts";
import { device, run } from "../_device.ts";
import { numbers } from "../_reference.ts";

Deno.test("embedding() picks rows of f32 and f16 tables", async () => {
  for (const [rows, columns, count] of [[32, 64, 20], [7, 5, 9], [3, 1, 2]]) {
    const ids = Uint32Array.from({ length: count }, (_, i) => (i * 5 + 2) % rows);
    const table = numbers(rows * columns, 1);
    const halves = Float16Array.from(table);
    const words = new Uint32Array(Math.ceil(halves.length / 2));
    new Uint8Array(words.buffer).set(new Uint8Array(halves.buffer));
    const expected = (from: ArrayLike<number>) =>
      Float32Array.from(
        { length: count * columns },
        (_, i) => from[ids[Math.floor(i / columns)] * columns + i % columns],
      );
    for (const dtype of ["f32", "f16"] as const) {
      using tensor = device.tensor([rows, columns], dtype);
      device.write(tensor, dtype === "f32" ? table : words);
      const actual = await run((rec) => embedding(rec, tensor, rec.upload(ids, [count])));
      assert.deepEqual(actual, expected(dtype === "f32" ? table : halves));
    }
  }
});

Deno.test("embedding() gives NaN for an id beyond the table", async () => {
  const table = numbers(8, 1);
  const actual = await run((rec) =>
    embedding(rec, rec.upload(table, [4, 2]), rec.upload(new Uint32Array([4, 1]), [2]))
  );
  assert.deepEqual(Array.from(actual), [NaN, NaN, table[2], table[3]]);
});

Deno.test("embedding() keeps the axes of its ids and refuses ids that are not u32", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const table = rec.tensor([4, 6]);
  assert.deepEqual(embedding(rec, table, rec.tensor([2, 3], "u32")).shape, [2, 3, 6]);
  assert.throws(() => embedding(rec, table, rec.tensor([2])), ShapeError);
});
