// matmul: activations times a weight matrix, with all that usually follows a linear layer done while the sums are in registers.

import { ShapeError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import { formatShape, type Tensor } from "../gpu/tensor.ts";
import { BlockWeight } from "./block_weight.ts";
import { HALVES_DIVISOR, HALVES_STEP, halvesStride, packHalves } from "./pack_halves.ts";
import { type MatmulVariant, matmulVariant } from "./matmul_variants.ts";
import type { WeightDType } from "./weight_kernels.ts";

/** A weight matrix [K, Np] in a form that matmul reads. */
export type Weight = Tensor | BlockWeight;

/** What may follow the product, in this order: bias, activation, multiply, then the sum with what is there. */
export interface MatmulOptions {
  /** N, the columns of the result; all columns of `w` when not given. */
  columns?: number;
  /** [N] f32, or longer. */
  bias?: Tensor;
  activation?: "none" | "gelu-tanh" | "silu";
  /** [.., N] f32: the result is multiplied by it. As wide as `outStride`, it is read at `outOffset`. */
  multiply?: Tensor;
  /** The residual: the result is added to it in place, and it is what is returned. */
  addTo?: Tensor;
  /** With `addTo`: one factor a sample and column; sample s has its N floats at `gateOffset + s * gateStride`. */
  gate?: Tensor;
  /** Floats between the gates of two samples; N when not given. */
  gateStride?: number;
  /** Floats before the first gate. */
  gateOffset?: number;
  /** Rows of x in a sample: with x [B, L, K], L when not given; else all. */
  rowsPerSample?: number;
  /** Where the result goes, in place of a new tensor. */
  out?: Tensor;
  /** Floats between two rows of `out` or `addTo`; its last extent when not given. */
  outStride?: number;
  /** Floats before the first column that is written: a slice of the columns of a wider matrix. */
  outOffset?: number;
  /** Applied to x as it is loaded; meant for few rows, since every column tile applies it again. */
  inputActivation?: "none" | "silu";
  /** Whether a kernel that makes short sums of halves is too coarse. */
  precise?: boolean;
  /** Whether the result may be halves, which it is where the kernel can; for what another matmul reads next: see `takesHalves`. */
  halves?: boolean;
  /** A kernel other than the fastest for this device; it must fit K. */
  variant?: MatmulVariant;
}

// The bits of `flags` in matmul_epilogue.wgsl.
const WITH = { bias: 1, gelu: 2, silu: 4, multiply: 8, add: 16, gate: 32, minimum: 64 };

/**
 * Multiplies rows of activations by a packed weight matrix.
 *
 * @param x [.., K] f32; or f16 where the kernel takes halves and K is a multiple of 64.
 * @param w [K, Np] as `packWeight`, `packQuantized` or `packBlocks` makes it: Np is N rounded up to a multiple of 4.
 * @param options What follows the product, and where it goes.
 * @returns [.., N] f32 in the recorder's scope, or f16 with `halves`; or `addTo` or `out`.
 * @throws {ShapeError} when the extents do not fit each other.
 */
export function matmul(rec: Recorder, x: Tensor, w: Weight, options: MatmulOptions = {}): Tensor {
  const K = x.dim(-1), Np = w.shape.at(-1) ?? 0, N = options.columns ?? Np;
  const M = x.size / Math.max(K, 1);
  checkOperands(x, w, K, N, Np);
  const place = options.addTo ?? options.out;
  const outStride = options.outStride ?? place?.dim(-1) ?? N;
  const outOffset = options.outOffset ?? 0;
  const { bias, multiply, gate, activation } = options;
  const blocks = w instanceof BlockWeight ? w : undefined;
  const [values, scales] = w instanceof BlockWeight ? [w.values, w.scales] : [w];
  const multiplyStride = multiply?.dim(-1) ?? 0;
  const gateStride = options.gateStride ?? N, gateOffset = options.gateOffset ?? 0;
  const rowsPerSample = options.rowsPerSample ?? (x.shape.length > 2 ? x.dim(-2) : M);
  checkGate(gate, M, N, rowsPerSample, gateStride, gateOffset, options);
  const places = [N, outStride, outOffset, multiplyStride, gate ? gateStride : 0, gate ? gateOffset : 0];
  const inFours = places.every((place) => place % 4 === 0);
  const dtype = w.dtype as WeightDType;
  const variant = options.variant ?? matmulVariant(rec.device, M, K, {
    columns: Np,
    dtype,
    inFours,
    precise: options.precise,
  });
  const toHalves = options.halves && !place && variant.toHalves !== undefined;
  const y = place ?? rec.tensor([...x.shape.slice(0, -1), N], toHalves ? "f16" : "f32");
  checkOutput([x, values, scales, bias, multiply, gate], y, M, N, outStride, outOffset, options);
  if (M === 0) return y;
  const source = (toHalves ? variant.toHalves! : variant.kernels)[dtype];
  const takesX = x.dtype === "f32" || (variant.takesHalves && K % HALVES_STEP === 0 && !options.inputActivation);
  if (!source || !takesX || (variant.inFours && !inFours)) {
    throw new ShapeError(
      `Cannot multiply ${x} by ${w} as the kernel must take such operands and places: ${variant.name}, ${places}`,
    );
  }
  const silu = options.inputActivation === "silu";
  const kernel = rec.device.kernel(
    source,
    variant.takesHalves ? variant.constants : { ...variant.constants, INPUT_SILU: silu },
  );
  const columnGroups = Math.ceil(N / variant.columns);
  const flags = (bias ? WITH.bias : 0) | (activation === "gelu-tanh" ? WITH.gelu : 0) |
    (activation === "silu" ? WITH.silu : 0) | (multiply ? WITH.multiply : 0) | (options.addTo ? WITH.add : 0) |
    (gate ? WITH.gate : 0) | (blocks?.format.hasMinimum ? WITH.minimum : 0);
  const step = rowsPerBinding(rec, Math.max(K, outStride, multiplyStride), M);
  for (let first = 0; first < M; first += step) {
    const rows = Math.min(step, M - first);
    const part = (tensor: Tensor, stride: number) =>
      step >= M ? tensor : tensor.view([Math.min(rows * stride, tensor.size - first * stride)], first * stride);
    const packed = variant.takesHalves && x.dtype === "f32";
    using _scratch = packed ? rec.scope() : undefined;
    const input = packed ? packHalves(rec, part(x, K).view([rows, K]), { silu }) : part(x, K);
    rec.dispatch(kernel, {
      bindings: [
        input,
        values,
        scales,
        bias,
        multiply && part(multiply, multiplyStride),
        gate,
        part(y, outStride),
      ],
      params: {
        rows,
        depth: K,
        block_quads: Math.ceil((blocks?.format.blockLength ?? K) / 4),
        columns: N,
        columns4: Np / 4,
        column_groups: columnGroups,
        flags,
        out_stride: outStride,
        out_offset: outOffset,
        multiply_stride: multiplyStride,
        multiply_offset: multiplyStride === N ? 0 : outOffset,
        gate_stride: gateStride,
        gate_offset: gateOffset,
        rows_per_sample: rowsPerSample,
        first_row: first,
        x_stride: (packed ? halvesStride(K) : K) / 8,
        x_range: packed ? HALVES_DIVISOR : 1,
      },
      groups: linearGroups(columnGroups * Math.ceil(rows / variant.rows)),
    });
  }
  return y;
}

/**
 * Whether the fastest kernel for a product takes x as halves.
 *
 * @param rows M, rows of the product.
 * @param places Columns, strides and offsets of the result and of what is done to it.
 */
export function takesHalves(device: Device, rows: number, w: Weight, places: readonly number[]): boolean {
  const [K, Np] = w.shape;
  const inFours = places.every((place) => place % 4 === 0);
  const { takesHalves } = matmulVariant(device, rows, K, { columns: Np, dtype: w.dtype as WeightDType, inFours });
  return takesHalves === true && K % HALVES_STEP === 0;
}

// A binding holds only so many bytes (128 MiB on lavapipe, less than 8192 tokens of a feed-forward layer): more rows go in parts.
// Parts start on whole 64 rows, so that their bytes are on the 256-byte alignment of bindings whatever the width.
function rowsPerBinding(rec: Recorder, widest: number, rows: number): number {
  const limit = rec.device.limits.maxStorageBufferBindingSize;
  if (rows * widest * 4 <= limit) return rows;
  return Math.max(64, Math.floor(limit / (widest * 4 * 64)) * 64);
}

function checkOperands(x: Tensor, w: Weight, K: number, N: number, Np: number): void {
  if ((x.dtype !== "f32" && x.dtype !== "f16") || w.dtype === "u32" || w.dtype === "i32") {
    throw new ShapeError(`Cannot multiply ${x} by ${w} as x must be floats and w a weight: ${x.dtype} and ${w.dtype}`);
  }
  if (w.shape.length !== 2 || w.shape[0] !== K) {
    throw new ShapeError(
      `Cannot multiply ${x} by ${w} as w must have as many rows as x has columns: ${w.shape[0]} and ${K}`,
    );
  }
  if (Np % 4 !== 0) throw new ShapeError(`Cannot multiply by ${w} as packed columns come in fours: ${Np}`);
  if (!Number.isInteger(N) || N < 1 || N > Np) {
    throw new ShapeError(`Cannot multiply ${x} by ${w} for ${N} columns as w must have them: it has ${Np}`);
  }
}

function checkOutput(
  inputs: readonly (Tensor | undefined)[],
  y: Tensor,
  M: number,
  N: number,
  outStride: number,
  outOffset: number,
  options: MatmulOptions,
): void {
  const { bias, multiply, addTo, out } = options;
  if (addTo && out) throw new ShapeError(`Cannot write to ${out} and add to ${addTo} as the result goes to one place`);
  const isFloats = y.dtype === "f32" || (y.dtype === "f16" && !addTo && !out);
  if (!isFloats || outOffset < 0 || outOffset + N > outStride || M * outStride > y.size) {
    throw new ShapeError(
      `Cannot write ${
        formatShape([M, N])
      } to ${y} as it must fit: at offset ${outOffset}, rows ${outStride} floats apart`,
    );
  }
  if (bias && (bias.dtype !== "f32" || bias.size < N)) {
    throw new ShapeError(`Cannot add bias ${bias} as it must have a float for each column: ${N} columns`);
  }
  if (multiply) {
    const width = multiply.dim(-1);
    if (multiply.dtype !== "f32" || multiply.size !== M * width || (width !== N && width !== outStride)) {
      throw new ShapeError(`Cannot multiply ${formatShape([M, N])} by ${multiply} as they must be alike: they differ`);
    }
  }
  for (const input of inputs) {
    if (input?.storage === y.storage) {
      throw new ShapeError(`Cannot write ${y} while reading ${input} as WebGPU forbids both at once: one buffer`);
    }
  }
}

function checkGate(
  gate: Tensor | undefined,
  M: number,
  N: number,
  rowsPerSample: number,
  stride: number,
  offset: number,
  options: MatmulOptions,
): void {
  if (!gate) return;
  if (!options.addTo) throw new ShapeError(`Cannot gate a product by ${gate} as it must be added to a residual: none`);
  if (!Number.isInteger(rowsPerSample) || rowsPerSample < 1) {
    throw new ShapeError(`Cannot gate ${M} rows as a sample must have rows: ${rowsPerSample}`);
  }
  const last = (Math.ceil(M / rowsPerSample) - 1) * stride + offset + N;
  if (gate.dtype !== "f32" || offset < 0 || stride < 0 || last > gate.size) {
    throw new ShapeError(`Cannot gate ${formatShape([M, N])} by ${gate} as it must hold ${last} floats: ${gate.size}`);
  }
}
