import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { downsampleTokens } from "../../src/ops/downsample_tokens.ts";
import { run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

const SHAPES = [{ batch: 2, height: 8, width: 12, channels: 16, factor: 2 }, {
  batch: 3,
  height: 7,
  width: 5,
  channels: 6,
  factor: 3,
}];

Deno.test("downsampleTokens() picks the first token of each square", async () => {
  for (const { batch, height, width, channels, factor } of SHAPES) {
    const shape = [batch, height * width, channels];
    const x = numbers(batch * height * width * channels);
    const expected: number[] = [];
    for (let b = 0; b < batch; b++) {
      for (let row = 0; row + factor <= height; row += factor) {
        for (let column = 0; column + factor <= width; column += factor) {
          const at = ((b * height + row) * width + column) * channels;
          expected.push(...x.subarray(at, at + channels));
        }
      }
    }
    const options = { height, width, factor, along: "grid" } as const;
    assertClose(await run((rec) => downsampleTokens(rec, rec.upload(x, shape), options)), expected, 0);
  }
});

Deno.test("downsampleTokens() picks every S-th token in reading order", async () => {
  const [batch, height, width, channels, factor] = [2, 3, 5, 4, 2];
  const x = numbers(batch * height * width * channels);
  const expected: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let token = 0; token < height * width; token += factor) {
      const at = (b * height * width + token) * channels;
      expected.push(...x.subarray(at, at + channels));
    }
  }
  const options = { height, width, factor, along: "sequence" } as const;
  const actual = await run((rec) => downsampleTokens(rec, rec.upload(x, [batch, height * width, channels]), options));
  assertClose(actual, expected, 0);
});

Deno.test("downsampleTokens() convolves each channel with its own weights", async () => {
  for (const { batch, height, width, channels, factor } of SHAPES) {
    const x = numbers(batch * height * width * channels), weight = numbers(channels * factor ** 2, 2);
    const bias = numbers(channels, 3);
    const expected: number[] = [];
    for (let b = 0; b < batch; b++) {
      for (let row = 0; row + factor <= height; row += factor) {
        for (let column = 0; column + factor <= width; column += factor) {
          for (let c = 0; c < channels; c++) {
            let sum = bias[c];
            for (let i = 0; i < factor; i++) {
              for (let j = 0; j < factor; j++) {
                const token = (b * height + row + i) * width + column + j;
                sum += weight[(c * factor + i) * factor + j] * x[token * channels + c];
              }
            }
            expected.push(sum);
          }
        }
      }
    }
    const actual = await run((rec) => {
      const convolution = {
        weight: rec.upload(weight, [channels, 1, factor, factor]),
        bias: rec.upload(bias, [channels]),
      };
      const options = { height, width, factor, along: "grid", convolution } as const;
      return downsampleTokens(rec, rec.upload(x, [batch, height * width, channels]), options);
    });
    assertClose(actual, expected, 1e-6);
  }
});

Deno.test("downsampleTokens() refuses tokens that are not the grid", async () => {
  const options = { height: 3, width: 3, factor: 2, along: "grid" } as const;
  await assert.rejects(run((rec) => downsampleTokens(rec, rec.upload(numbers(8), [1, 8, 1]), options)), ShapeError);
  const tooWide = { height: 2, width: 4, factor: 3, along: "grid" } as const;
  await assert.rejects(run((rec) => downsampleTokens(rec, rec.upload(numbers(8), [1, 8, 1]), tooWide)), ShapeError);
});
