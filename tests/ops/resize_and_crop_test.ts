import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { resizeAndCrop, type ResizeAndCropOptions } from "../../src/ops/resize_and_crop.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";

/** In doubles, resized as a whole and then cropped. */
function reference(
  x: Float32Array,
  [batch, height, width, channels]: number[],
  options: ResizeAndCropOptions,
): number[] {
  const neighbours = (pixel: number, extent: number, resized: number) => {
    const place = Math.max(extent / resized * (pixel + 0.5) - 0.5, 0), low = Math.floor(place);
    return [[low, 1 - (place - low)], [Math.min(low + 1, extent - 1), place - low]];
  };
  const y: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let row = options.top; row < options.top + options.height; row++) {
      for (let column = options.left; column < options.left + options.width; column++) {
        for (let c = 0; c < channels; c++) {
          let sum = 0;
          for (const [v, down] of neighbours(row, height, options.resizedHeight)) {
            for (const [u, right] of neighbours(column, width, options.resizedWidth)) {
              sum += down * right * x[((b * height + v) * width + u) * channels + c];
            }
          }
          y.push(sum);
        }
      }
    }
  }
  return y;
}

const CASES: [number[], ResizeAndCropOptions][] = [
  [[2, 8, 8, 3], { resizedHeight: 16, resizedWidth: 16, top: 0, left: 0, height: 16, width: 16 }],
  [[1, 12, 20, 3], { resizedHeight: 9, resizedWidth: 15, top: 0, left: 3, height: 9, width: 9 }],
  [[2, 7, 5, 4], { resizedHeight: 23, resizedWidth: 17, top: 5, left: 2, height: 11, width: 13 }],
  [[1, 1, 6, 1], { resizedHeight: 3, resizedWidth: 2, top: 1, left: 0, height: 1, width: 2 }],
  [[1, 9, 9, 2], { resizedHeight: 9, resizedWidth: 9, top: 0, left: 0, height: 9, width: 9 }],
];

Deno.test("resizeAndCrop() interpolates between pixel centres and keeps the window", async () => {
  for (const [shape, options] of CASES) {
    const x = numbers(shape.reduce((a, b) => a * b), 1);
    const actual = await run((rec) => resizeAndCrop(rec, rec.upload(x, shape), options));
    assertClose(actual, reference(x, shape, options), 1e-5, `[${shape}]`);
  }
});

Deno.test("resizeAndCrop() matches PyTorch", async () => {
  // torch.nn.functional.interpolate(torch.arange(12.).reshape(1, 1, 3, 4) ** 2, (5, 6), mode="bilinear"), columns 1 to 4.
  const x = Float32Array.from({ length: 12 }, (_, i) => i * i);
  const options = { resizedHeight: 5, resizedWidth: 6, top: 1, left: 1, height: 3, width: 4 };
  const actual = await run((rec) => resizeAndCrop(rec, rec.upload(x, [1, 3, 4, 1]), options));
  const expected = [
    8.5,
    11.633333,
    15.766667,
    20.9,
    20.5,
    26.833334,
    34.166668,
    42.5,
    51.7,
    61.233341,
    71.766677,
    83.3,
  ];
  assertClose(actual, expected, 1e-6);
});

Deno.test("resizeAndCrop() refuses windows outside the resized image", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const x = rec.tensor([1, 4, 4, 3]);
  const options = { resizedHeight: 8, resizedWidth: 6, top: 0, left: 0, height: 8, width: 6 };
  resizeAndCrop(rec, x, options);
  assert.throws(() => resizeAndCrop(rec, x, { ...options, left: 1 }), /f32\[1, 4, 4, 3\] to 8 by 6.*from 0, 1 on/);
  assert.throws(() => resizeAndCrop(rec, x, { ...options, top: -1 }), ShapeError);
  assert.throws(() => resizeAndCrop(rec, x, { ...options, height: 7.5 }), ShapeError);
  assert.throws(() => resizeAndCrop(rec, rec.tensor([4, 4, 3]), options), ShapeError);
});
