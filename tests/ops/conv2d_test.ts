import assert from "node:assert/strict";
import { ShapeError } from "../../src/errors.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Tensor } from "../../src/gpu/tensor.ts";
import { conv2d, type Padding } from "../../src/ops/conv2d.ts";
import { portableConv } from "../../src/ops/conv2d_variants.ts";
import { packWeight } from "../../src/ops/pack_weight.ts";
import type { FloatDType } from "../../src/ops/weight_kernels.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";
import { CANDIDATES } from "./_conv2d_variants.ts";

interface Case {
  /** [B, H, W, CI] */
  shape: number[];
  out: number;
  kernel: 1 | 3;
  stride?: 1 | 2;
  padding?: Padding;
  bias?: boolean;
  add?: boolean;
  upsample?: boolean;
  weights?: FloatDType;
  /** The largest number of x; 1 when not given. */
  scale?: number;
}

const NONE = { top: 0, left: 0, bottom: 0, right: 0 };
const SAME = { top: 1, left: 1, bottom: 1, right: 1 };
/** How the VAE's encoder pads before a convolution of stride 2. */
const BELOW = { top: 0, left: 0, bottom: 1, right: 1 };

const SEEDS = { x: 1, w: 2, bias: 3, residual: 4 };

/** The convolution by definition; weights [CO, CI, kernel, kernel] as PyTorch has them. */
function reference(x: Float32Array, w: ArrayLike<number>, test: Case): { y: Float64Array; shape: number[] } {
  const { kernel, out, stride = 1, padding = kernel === 3 ? SAME : NONE, upsample = false } = test;
  const [samples, height, width, channels] = test.shape;
  const zoom = upsample ? 2 : 1;
  const outHeight = Math.floor((height * zoom + padding.top + padding.bottom - kernel) / stride) + 1;
  const outWidth = Math.floor((width * zoom + padding.left + padding.right - kernel) / stride) + 1;
  const y = new Float64Array(samples * outHeight * outWidth * out);
  let at = 0;
  for (let b = 0; b < samples; b++) {
    for (let oy = 0; oy < outHeight; oy++) {
      for (let ox = 0; ox < outWidth; ox++) {
        for (let n = 0; n < out; n++, at++) {
          for (let ky = 0; ky < kernel; ky++) {
            const iy = Math.floor((oy * stride + ky - padding.top) / zoom);
            for (let kx = 0; kx < kernel; kx++) {
              const ix = Math.floor((ox * stride + kx - padding.left) / zoom);
              if (iy < 0 || iy >= height || ix < 0 || ix >= width) continue;
              const pixel = ((b * height + iy) * width + ix) * channels;
              for (let c = 0; c < channels; c++) {
                y[at] += x[pixel + c] * w[((n * channels + c) * kernel + ky) * kernel + kx];
              }
            }
          }
        }
      }
    }
  }
  return { y, shape: [samples, outHeight, outWidth, out] };
}

/** Images as halves, with a pixel of zeros behind, as a group norm makes them. */
function uploadHalves(rec: Recorder, x: Float32Array, channels: number): Tensor {
  const words = new Uint32Array(Float16Array.from([...x, ...new Float32Array(channels)]).buffer);
  return new Tensor(rec.upload(words, [words.length]).storage, [x.length / channels + 1, channels], "f16");
}

async function check(test: Case) {
  const { shape, out, kernel, stride = 1, padding = kernel === 3 ? SAME : NONE, upsample = false } = test;
  const weights = test.weights ?? "f32";
  const channels = shape[3], taps = kernel * kernel;
  const x = numbers(shape.reduce((a, b) => a * b), SEEDS.x, test.scale);
  const w = numbers(out * channels * taps, SEEDS.w);
  const bias = numbers(out, SEEDS.bias);
  const { y, shape: outShape } = reference(x, weights === "f16" ? Float16Array.from(w) : w, test);
  const residual = numbers(y.length, SEEDS.residual);
  for (let i = 0; i < y.length; i++) y[i] += (test.bias ? bias[i % out] : 0) + (test.add ? residual[i] : 0);
  const candidates = CANDIDATES.filter(({ takes }) => takes(channels, out, weights))
    .flatMap((each) =>
      each.variant.halves && !test.scale ? [each, { ...each, name: `${each.name} of halves`, halves: true }] : [each]
    )
    .map((each) => ({ halves: false, ...each }));
  for (const { name, variant, tolerance, halves } of candidates) {
    const actual = await run((rec) => {
      const packed = rec.tensor([taps * channels, Math.ceil(out / 4) * 4], weights);
      const raw = new Uint32Array(w.buffer);
      packWeight(rec, rec.upload(raw, [raw.length]), {
        sourceDType: "f32",
        rows: out,
        inFeatures: channels,
        taps,
        out: packed,
      });
      const result = conv2d(rec, halves ? uploadHalves(rec, x, channels) : rec.upload(x, shape), packed, {
        image: shape,
        kernel,
        stride,
        padding,
        outChannels: out,
        bias: test.bias ? rec.upload(bias, [out]) : undefined,
        addTo: test.add ? rec.upload(residual, outShape) : undefined,
        upsample,
        variant,
      });
      assert.deepEqual(result.shape, outShape);
      return result;
    });
    assertClose(actual, y, tolerance, `${name}: ${JSON.stringify(test)}`);
  }
}

Deno.test("conv2d() convolves at friendly shapes with f32 and f16 weights", async () => {
  for (const weights of ["f32", "f16"] as const) {
    await check({ shape: [1, 16, 16, 32], out: 64, kernel: 3, weights, bias: true });
    await check({ shape: [2, 8, 8, 64], out: 32, kernel: 1, weights, bias: true });
  }
});

Deno.test("conv2d() convolves at ragged shapes", async () => {
  for (const weights of ["f32", "f16"] as const) {
    await check({ shape: [1, 5, 7, 4], out: 36, kernel: 3, weights });
    await check({ shape: [2, 3, 5, 3], out: 8, kernel: 3, weights });
    await check({ shape: [1, 9, 11, 16], out: 3, kernel: 3, weights, bias: true });
    await check({ shape: [1, 1, 1, 5], out: 7, kernel: 1, weights });
    await check({ shape: [3, 2, 9, 20], out: 44, kernel: 1, weights, bias: true });
  }
});

Deno.test("conv2d() convolves all of this in every kernel that takes many channels", async () => {
  const many = { kernel: 3, weights: "f16", bias: true } as const;
  await check({ ...many, shape: [2, 5, 7, 64], out: 40 });
  await check({ ...many, shape: [1, 4, 3, 128], out: 136, upsample: true });
  await check({ ...many, shape: [1, 9, 12, 64], out: 16, stride: 2, padding: BELOW, add: true });
  await check({ ...many, shape: [1, 3, 4, 64], out: 24, kernel: 1 });
  await check({ ...many, shape: [1, 5, 3, 48], out: 20, weights: "f32" });
});

Deno.test("conv2d() takes activations beyond the largest half in every kernel, as those between the VAE's blocks are", async () => {
  await check({ shape: [1, 5, 7, 64], out: 40, kernel: 3, weights: "f16", scale: 5e5 });
  await check({ shape: [1, 4, 3, 64], out: 16, kernel: 1, weights: "f16", scale: 5e5 });
});

Deno.test("conv2d() strides by two under the padding of the VAE's encoder", async () => {
  await check({ shape: [1, 16, 16, 8], out: 32, kernel: 3, stride: 2, padding: BELOW, bias: true });
  await check({ shape: [2, 7, 10, 12], out: 12, kernel: 3, stride: 2, padding: BELOW, bias: true });
  await check({ shape: [1, 5, 6, 4], out: 4, kernel: 3, stride: 2, padding: SAME });
});

Deno.test("conv2d() reads its input enlarged twice", async () => {
  await check({ shape: [1, 8, 8, 16], out: 32, kernel: 3, upsample: true, bias: true });
  await check({ shape: [2, 3, 5, 8], out: 12, kernel: 3, upsample: true });
});

Deno.test("conv2d() adds to a residual in place", async () => {
  await check({ shape: [1, 8, 8, 32], out: 32, kernel: 3, add: true, bias: true });
  await check({ shape: [1, 5, 3, 6], out: 5, kernel: 1, add: true });
});

Deno.test("conv2d() refuses weights, biases and residuals that do not fit", () => {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const x = rec.tensor([1, 4, 4, 8]), w = rec.tensor([72, 12]);
  const options = { kernel: 3, stride: 1, padding: SAME, outChannels: 10 } as const;
  conv2d(rec, x, w, options);
  assert.throws(() => conv2d(rec, x, rec.tensor([72, 16]), options), /f32\[1, 4, 4, 8\].*\[72, 12\].*f32\[72, 16\]/);
  assert.throws(() => conv2d(rec, x, w, { ...options, bias: rec.tensor([9]) }), ShapeError);
  assert.throws(() => conv2d(rec, x, w, { ...options, addTo: rec.tensor([1, 4, 4, 8]) }), ShapeError);
  assert.throws(() => conv2d(rec, rec.tensor([4, 4, 8]), w, options), ShapeError);
  assert.throws(() => conv2d(rec, rec.tensor([1, 1, 1, 8]), w, { ...options, padding: NONE }), /too small/);
  const image = x.shape, halves = rec.tensor([17, 8], "f16");
  assert.throws(() => conv2d(rec, halves, w, { ...options, image, variant: portableConv() }), /f16\[17, 8\].*operands/);
  assert.throws(
    () => conv2d(rec, rec.tensor([16, 8], "f16"), w, { ...options, image }),
    /\[1, 4, 4, 8\] it is neither/,
  );
});
