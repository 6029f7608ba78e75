import assert from "node:assert/strict";
import { Recorder } from "../../src/gpu/recorder.ts";
import { toChannelsFirst, toChannelsLast } from "../../src/ops/channels.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

const SHAPES = [[2, 4, 8, 16], [1, 3, 7, 5], [3, 1, 2, 9], [1, 33, 3, 1]]; // [B, C, H, W]

function lastFromFirst(x: Float32Array, [batch, channels, height, width]: number[]): Float32Array {
  const y = new Float32Array(x.length);
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < height * width; i++) {
        y[(b * height * width + i) * channels + c] = x[(b * channels + c) * height * width + i];
      }
    }
  }
  return y;
}

Deno.test("toChannelsLast() moves channels, scales and shifts", async () => {
  for (const shape of SHAPES) {
    const x = numbers(shape.reduce((a, b) => a * b), 1);
    const moved = lastFromFirst(x, shape);
    assert.deepEqual(await run((rec) => toChannelsLast(rec, rec.upload(x, shape))), moved);
    const actual = await run((rec) => toChannelsLast(rec, rec.upload(x, shape), { scale: 7.5, shift: -0.25 }));
    assertClose(actual, moved.map((value) => value * 7.5 - 0.25), 1e-6, `[${shape}]`);
  }
});

Deno.test("toChannelsFirst() undoes toChannelsLast()", async () => {
  for (const shape of SHAPES) {
    const [batch, channels, height, width] = shape;
    const x = numbers(shape.reduce((a, b) => a * b), 1);
    const last = lastFromFirst(x, shape);
    const actual = await run((rec) => toChannelsFirst(rec, rec.upload(last, [batch, height, width, channels])));
    assert.deepEqual(actual, x, `[${shape}]`);
  }
});

Deno.test("toChannelsLast() and toChannelsFirst() refuse what is no image", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => toChannelsLast(rec, rec.tensor([4, 8, 8])), /f32\[4, 8, 8\].*\[B, C, H, W\]/);
  assert.throws(() => toChannelsFirst(rec, rec.tensor([1, 8, 8, 4], "u32")), /u32\[1, 8, 8, 4\].*\[B, H, W, C\]/);
});
