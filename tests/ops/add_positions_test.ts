import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { addPositions } from "../../src/ops/add_positions.ts";
import { device, run } from "../_device.ts";
import { runLimited } from "../_limited.ts";
import { assertClose, numbers } from "../_reference.ts";

Deno.test("addPositions() adds the column to the first half of the channels and the row to the second, also in parts", async () => {
  for (const [B, H, W, C, bytes] of [[2, 16, 24, 32, 8192], [3, 5, 7, 6, 1024], [1, 1, 1, 2, 256]]) {
    const half = C / 2;
    const x = numbers(B * H * W * C), rows = numbers(H * half, 2), columns = numbers(W * half, 3);
    const expected = x.map((value, i) => {
      const [token, c] = [Math.floor(i / C) % (H * W), i % C];
      return value + (c < half ? columns[token % W * half + c] : rows[Math.floor(token / W) * half + c - half]);
    });
    const work = (rec: Recorder) => {
      const tokens = rec.upload(x, [B, H * W, C]);
      const sum = addPositions(rec, tokens, rec.upload(rows, [H, half]), rec.upload(columns, [W, half]));
      assert.equal(sum, tokens);
      return sum;
    };
    assertClose(await run(work), expected, 1e-7);
    assertClose(await runLimited(bytes, work), expected, 1e-7);
  }
});

Deno.test("addPositions() places some tokens of a grid from the first one on", async () => {
  const rows = numbers(5 * 4, 2), columns = numbers(3 * 4, 3);
  const sum = (first: number, count: number) =>
    run((rec) => {
      const tokens = rec.upload(new Float32Array(count * 8), [1, count, 8]);
      return addPositions(rec, tokens, rec.upload(rows, [5, 4]), rec.upload(columns, [3, 4]), { first });
    });
  assert.deepEqual(await sum(7, 6), (await sum(0, 15)).subarray(7 * 8, 13 * 8));
  await assert.rejects(sum(10, 6), ShapeError);
});

Deno.test("addPositions() refuses tables of another grid", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const x = rec.tensor([1, 12, 8]);
  for (const [rows, columns] of [[[3, 4], [3, 4]], [[3, 8], [4, 8]], [[3, 4], [4, 2]]]) {
    assert.throws(() => addPositions(rec, x, rec.tensor(rows), rec.tensor(columns)), ShapeError);
  }
});
