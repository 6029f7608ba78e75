import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { patchify } from "../../src/ops/patchify.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

function reference(x: Float32Array, [batch, channels, h, w]: number[], patch: number, scale: number, repeat: number) {
  const y: number[] = [];
  for (let b = 0; b < batch * repeat; b++) {
    for (let top = 0; top < h; top += patch) {
      for (let left = 0; left < w; left += patch) {
        for (let c = 0; c < channels; c++) {
          for (let row = top; row < top + patch; row++) {
            for (let column = left; column < left + patch; column++) {
              y.push(scale * x[(((b % batch) * channels + c) * h + row) * w + column]);
            }
          }
        }
      }
    }
  }
  return y;
}

Deno.test("patchify() cuts, scales and repeats", async () => {
  for (
    const [shape, patchSize, scale, repeat] of [
      [[2, 4, 8, 16], 2, 1, 1],
      [[2, 4, 6, 10], 2, 0.75, 2],
      [[1, 3, 9, 6], 3, -2, 3],
      [[3, 5, 7, 3], 1, 1, 1],
    ] as [number[], number, number, number][]
  ) {
    const x = numbers(shape.reduce((a, b) => a * b), 1);
    const actual = await run((rec) => patchify(rec, rec.upload(x, shape), { patchSize, scale, repeat }));
    assertClose(actual, reference(x, shape, patchSize, scale, repeat), 1e-6, `[${shape}] by ${patchSize}`);
  }
});

Deno.test("patchify() refuses images that are not whole patches", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  assert.throws(() => patchify(rec, rec.tensor([1, 4, 8, 7]), { patchSize: 2 }), /f32\[1, 4, 8, 7\].*multiples of 2/);
  assert.throws(() => patchify(rec, rec.tensor([4, 8, 8]), { patchSize: 2 }), ShapeError);
  assert.throws(() => patchify(rec, rec.tensor([1, 4, 8, 8]), { patchSize: 2, repeat: 1.5 }), ShapeError);
});
