// A quick test of a device: the kernels that pictures are made of, at small and ragged shapes, beside plain loops in doubles.
// In: a device. Out: a row for each kernel with its largest error.

import type { Device } from "../gpu/device.ts";
import { readAll } from "../gpu/readback.ts";
import { Recorder } from "../gpu/recorder.ts";
import { Tensor } from "../gpu/tensor.ts";
import { f32ToF16 } from "../io/half.ts";
import { attention } from "../ops/attention.ts";
import { conv2d } from "../ops/conv2d.ts";
import { layerNorm } from "../ops/layer_norm.ts";
import { matmul } from "../ops/matmul.ts";
import { Generator } from "../random/generator.ts";

/** How one kernel compares with its definition. */
export interface SelfTestRow {
  /** The op, and what is special about this run of it. */
  op: string;
  /** Extents, as `[37, 67] x [67, 45]`. */
  shape: string;
  /** The largest absolute error, relative to the largest expected value; NaN where a number is missing or is none. */
  maxError: number;
  ok: boolean;
}

/** What a self-test found. */
export interface SelfTest {
  rows: SelfTestRow[];
  ok: boolean;
  seconds: number;
}

// Far above the rounding of f32 at these shapes, far below what a wrong kernel gives.
const TOLERANCE = 1e-5;

interface Case {
  op: string;
  shape: string;
  record(rec: Recorder): Tensor;
  expected(): Float64Array;
}

/** Columns padded with zeros to a multiple of 4, as kernels read weights. */
function packed(rec: Recorder, w: Float32Array, K: number, N: number, half: boolean): Tensor {
  const Np = Math.ceil(N / 4) * 4;
  const padded = new Float32Array(K * Np);
  for (let k = 0; k < K; k++) padded.set(w.subarray(k * N, (k + 1) * N), k * Np);
  if (!half) return rec.upload(padded, [K, Np]);
  const words = rec.upload(new Uint32Array(f32ToF16(padded).buffer), [K * Np / 2]);
  return new Tensor(words.storage, [K, Np], "f16", words.offset);
}

/** Weights that f16 holds exactly. */
const exactInHalf = (w: Float32Array) => w.map((value) => Math.round(value * 256) / 256);

function matmulCase(random: Generator, half: boolean): Case {
  const [M, K, N] = [37, 67, 45];
  const x = random.randn([M, K]), w = exactInHalf(random.randn([K, N])), bias = random.randn([N]);
  return {
    op: `matmul, ${half ? "f16" : "f32"} weights`,
    shape: `[${M}, ${K}] x [${K}, ${N}]`,
    record: (rec) =>
      matmul(rec, rec.upload(x, [M, K]), packed(rec, w, K, N, half), { columns: N, bias: rec.upload(bias, [N]) }),
    expected() {
      const y = new Float64Array(M * N);
      for (let m = 0; m < M; m++) {
        for (let n = 0; n < N; n++) {
          let sum = bias[n];
          for (let k = 0; k < K; k++) sum += x[m * K + k] * w[k * N + n];
          y[m * N + n] = sum;
        }
      }
      return y;
    },
  };
}

function attentionCase(random: Generator): Case {
  const [queries, keys, heads, headWidth] = [33, 21, 2, 72];
  const C = heads * headWidth, scale = headWidth ** -0.5;
  const q = random.randn([queries, C]), k = random.randn([keys, C]), v = random.randn([keys, C]);
  const mask = Float32Array.from({ length: keys }, (_, key) => key < keys - 3 ? 0 : -10000);
  const rows = (rec: Recorder, data: Float32Array) => {
    return { tensor: rec.upload(data, [data.length / C, C]), stride: C, offset: 0 };
  };
  return {
    op: "attention, masked",
    shape: `[${queries}, ${heads}, ${headWidth}] on ${keys} keys`,
    record: (rec) =>
      attention(rec, rows(rec, q), rows(rec, k), rows(rec, v), {
        batch: 1,
        heads,
        headWidth,
        queries,
        keys,
        scale,
        mask: rec.upload(mask, [1, keys]),
      }),
    expected() {
      const y = new Float64Array(queries * C);
      for (let head = 0; head < C; head += headWidth) {
        for (let i = 0; i < queries; i++) {
          const weights = Array.from({ length: keys }, (_, j) => {
            let score = 0;
            for (let d = head; d < head + headWidth; d++) score += q[i * C + d] * k[j * C + d];
            return Math.exp(score * scale + mask[j]);
          });
          const total = weights.reduce((sum, weight) => sum + weight);
          for (let d = head; d < head + headWidth; d++) {
            y[i * C + d] = weights.reduce((sum, weight, j) => sum + weight * v[j * C + d], 0) / total;
          }
        }
      }
      return y;
    },
  };
}

function layerNormCase(random: Generator): Case {
  const [batch, tokens, C, eps] = [2, 5, 45, 1e-6];
  const x = random.randn([batch, tokens, C]).map((value) => value * 3 + 10);
  const table = random.randn([batch, 2 * C]);
  return {
    op: "layerNorm, modulated",
    shape: `[${batch}, ${tokens}, ${C}]`,
    record(rec) {
      const rows = { tensor: rec.upload(table, [batch, 2 * C]), stride: 2 * C };
      const options = { eps, shift: { ...rows, offset: 0 }, scale: { ...rows, offset: C } };
      return layerNorm(rec, rec.upload(x, [batch, tokens, C]), options);
    },
    expected() {
      const y = new Float64Array(x.length);
      for (let row = 0; row < batch * tokens; row++) {
        const values = Array.from(x.subarray(row * C, (row + 1) * C));
        const mean = values.reduce((sum, value) => sum + value) / C;
        const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / C;
        const at = Math.floor(row / tokens) * 2 * C;
        values.forEach((value, c) => {
          y[row * C + c] = (value - mean) / Math.sqrt(variance + eps) * (1 + table[at + C + c]) + table[at + c];
        });
      }
      return y;
    },
  };
}

function conv2dCase(random: Generator): Case {
  const [H, W, inChannels, outChannels] = [9, 7, 5, 6];
  const x = random.randn([H, W, inChannels]), w = random.randn([9 * inChannels, outChannels]);
  const bias = random.randn([outChannels]);
  return {
    op: "conv2d, 3x3",
    shape: `[1, ${H}, ${W}, ${inChannels}] to ${outChannels} channels`,
    record: (rec) =>
      conv2d(rec, rec.upload(x, [1, H, W, inChannels]), packed(rec, w, 9 * inChannels, outChannels, false), {
        kernel: 3,
        stride: 1,
        padding: { top: 1, left: 1, bottom: 1, right: 1 },
        outChannels,
        bias: rec.upload(bias, [outChannels]),
      }),
    expected() {
      const y = new Float64Array(H * W * outChannels);
      for (let at = 0; at < y.length; at++) {
        const o = at % outChannels, column = Math.floor(at / outChannels) % W, row = Math.floor(at / outChannels / W);
        let sum = bias[o];
        for (let tap = 0; tap < 9; tap++) {
          const r = row + Math.floor(tap / 3) - 1, c = column + tap % 3 - 1;
          if (r < 0 || r >= H || c < 0 || c >= W) continue;
          for (let i = 0; i < inChannels; i++) {
            sum += x[(r * W + c) * inChannels + i] * w[(tap * inChannels + i) * outChannels + o];
          }
        }
        y[at] = sum;
      }
      return y;
    },
  };
}

function largestError(actual: ArrayLike<number>, expected: Float64Array): number {
  let error = 0, largest = 0;
  for (let i = 0; i < expected.length; i++) {
    error = Math.max(error, Math.abs(actual[i] - expected[i])); // NaN stays NaN
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return error / largest;
}

/**
 * Runs matmul, attention, layerNorm and conv2d and compares them with their definitions.
 *
 * @param device Any open device; it is left as it was.
 * @throws {DeviceError} when a kernel does not compile or run.
 * @example
 * ```ts
 * import { Device } from "../gpu/device.ts";
 * import { selfTest } from "./self_test.ts";
 * using device = await Device.open();
 * console.assert((await selfTest(device)).ok);
 * ```
 */
export async function selfTest(device: Device): Promise<SelfTest> {
  const started = performance.now();
  const random = new Generator(0);
  const cases = [
    matmulCase(random, false),
    matmulCase(random, true),
    attentionCase(random),
    layerNormCase(random),
    conv2dCase(random),
  ];
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const tensors = cases.map((one) => one.record(rec));
  rec.submit();
  const results = await readAll(device, tensors);
  const rows = cases.map(({ op, shape, expected }, i) => {
    const maxError = largestError(results[i], expected());
    return { op, shape, maxError, ok: maxError <= TOLERANCE };
  });
  const seconds = Math.round(performance.now() - started) / 1000;
  return { rows, ok: rows.every((row) => row.ok), seconds };
}
