import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { reluPool } from "../../src/ops/relu_pool.ts";
import { device, run } from "../_device.ts";
import { runLimited } from "../_limited.ts";
import { numbers } from "../_reference.ts";

/** The definition over [H, W, C]. */
function naive(x: Float32Array, [height, width, columns]: number[], side: number): Float32Array {
  const [h, w] = [Math.floor(height / side), Math.floor(width / side)];
  return Float32Array.from({ length: h * w * columns }, (_, i) => {
    const c = i % columns, px = Math.floor(i / columns) % w, py = Math.floor(i / columns / w);
    let most = 0;
    for (let dy = 0; dy < side; dy++) {
      for (let dx = 0; dx < side; dx++) {
        most = Math.max(most, x[((py * side + dy) * width + px * side + dx) * columns + c]);
      }
    }
    return most;
  });
}

Deno.test("reluPool() takes the largest of each square and nothing below 0, and leaves what fills no square", async () => {
  for (const shape of [[8, 12, 64], [7, 5, 3], [2, 3, 6]]) {
    const x = numbers(shape.reduce((product, extent) => product * extent), 3);
    for (const side of [1, 2] as const) {
      const got = await run((rec) => reluPool(rec, rec.upload(x, [1, ...shape]), side));
      assert.deepEqual(got, naive(x, shape, side), `${shape} by ${side}`);
    }
  }
});

Deno.test("reluPool() goes by rows where a binding holds fewer", async () => {
  const shape = [24, 10, 32], x = numbers(24 * 10 * 32, 5);
  for (const side of [1, 2] as const) {
    const got = await runLimited(8192, (rec) => reluPool(rec, rec.upload(x, [1, ...shape]), side));
    assert.deepEqual(got, naive(x, shape, side));
  }
});

Deno.test("reluPool() refuses what is no image", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => reluPool(rec, rec.tensor([2, 4, 4, 4]), 2), ShapeError);
  assert.throws(() => reluPool(rec, rec.tensor([1, 1, 4, 4]), 2), ShapeError);
  assert.throws(() => reluPool(rec, rec.tensor([4, 4, 4]), 1), ShapeError);
});
