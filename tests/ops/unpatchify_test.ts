import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { unpatchify } from "../../src/ops/unpatchify.ts";
import { device, run } from "../_device.ts";
import { numbers } from "../_reference.ts";

Deno.test("unpatchify() puts patches together and drops the channels behind", async () => {
  for (
    const [batch, height, width, patch, tokenChannels, channels] of [
      [2, 8, 16, 2, 8, 4],
      [1, 6, 10, 2, 8, 8],
      [3, 9, 6, 3, 5, 3],
      [2, 3, 7, 1, 2, 1],
    ]
  ) {
    const grid = [height / patch, width / patch];
    const shape = [batch, grid[0] * grid[1], patch * patch * tokenChannels];
    const tokens = numbers(shape[0] * shape[1] * shape[2], 1);
    const expected = new Float32Array(batch * channels * height * width);
    let at = 0;
    for (let b = 0; b < batch; b++) {
      for (let top = 0; top < height; top += patch) {
        for (let left = 0; left < width; left += patch) {
          for (let row = top; row < top + patch; row++) {
            for (let column = left; column < left + patch; column++) {
              for (let c = 0; c < tokenChannels; c++, at++) {
                if (c < channels) expected[((b * channels + c) * height + row) * width + column] = tokens[at];
              }
            }
          }
        }
      }
    }
    const options = { patchSize: patch, height, width, channels };
    const actual = await run((rec) => unpatchify(rec, rec.upload(tokens, shape), options));
    assert.deepEqual(actual, expected, `[${shape}]`);
  }
});

Deno.test("unpatchify() refuses tokens that are not the patches of the image", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const tokens = rec.tensor([1, 12, 32]);
  const options = { patchSize: 2, height: 6, width: 8, channels: 4 };
  unpatchify(rec, tokens, options);
  assert.throws(() => unpatchify(rec, tokens, { ...options, width: 10 }), /f32\[1, 12, 32\].*6 by 10/);
  assert.throws(() => unpatchify(rec, tokens, { ...options, height: 4.8, width: 10 }), ShapeError);
  assert.throws(() => unpatchify(rec, tokens, { ...options, channels: 9 }), ShapeError);
  assert.throws(() => unpatchify(rec, rec.tensor([1, 12, 31]), options), ShapeError);
  assert.throws(() => unpatchify(rec, rec.tensor([12, 32]), options), ShapeError);
});
