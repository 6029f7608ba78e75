// A checkpoint in other dtypes. In: a WeightSource and, for each tensor, the dtype it is to have. Out: a WeightSource that converts
// what is read of it, as little as that may be, so that no tensor is ever in memory as a whole.

import { WeightsError } from "../errors.ts";
import { checkRange } from "./byte_range.ts";
import { BLOCK_OF, isQuantType, quantizeQ4_0, quantizeQ8_0 } from "./gguf_blocks.ts";
import { f32ToBf16, f32ToF16 } from "./half.ts";
import {
  bytesFor,
  describe,
  floatsOf,
  type ReadRange,
  type StoredDType,
  type TensorInfo,
  type WeightSource,
} from "./weights.ts";

type Encode = (floats: Float32Array<ArrayBuffer>) => ArrayBufferView<ArrayBuffer>;

/** Every dtype that weights can be converted to; a format that gets a quantizer is added here. */
const ENCODERS = {
  F32: (floats) => floats,
  F16: (floats) => f32ToF16(floats),
  BF16: (floats) => f32ToBf16(floats),
  Q8_0: quantizeQ8_0,
  Q4_0: quantizeQ4_0,
} satisfies Partial<Record<StoredDType, Encode>>;

/** A dtype that weights can be converted to. */
export type TargetDType = keyof typeof ENCODERS;

/** Whether weights can be converted to a dtype. */
export function isTargetDType(dtype: string): dtype is TargetDType {
  return Object.hasOwn(ENCODERS, dtype);
}

/** Whether a dtype holds numbers that may be rounded: floats, and blocks that stand for them. */
export function isFloat(dtype: StoredDType): boolean {
  return isQuantType(dtype) || dtype.includes("F");
}

const elementsOf = (dtype: StoredDType) => isQuantType(dtype) ? BLOCK_OF[dtype].elements : 1;

/**
 * Sees a checkpoint in other dtypes.
 *
 * @param dtypeOf The dtype that a tensor is to have; its own leaves it as it is. Rows must be whole blocks of it.
 * @returns A source that is disposed with the given one; reading a number that the dtype cannot hold is a WeightsError.
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { castWeights } from "./cast_weights.ts";
 * import { encodeSafetensors, openSafetensors } from "./safetensors.ts";
 * const file = encodeSafetensors({ w: { dtype: "F32", shape: [2], data: Float32Array.of(1, 2.5) } });
 * using weights = castWeights(await openSafetensors(bytesOf("example", file)), () => "F16");
 * console.assert((await weights.read("w")).join() === "0,60,0,65");
 * ```
 */
export function castWeights(source: WeightSource, dtypeOf: (info: TensorInfo) => StoredDType): WeightSource {
  return new CastWeights(source, dtypeOf);
}

/** Sees block formats and f64 as f32, so that every number can be read alone. */
export function asPlainFloats(source: WeightSource): WeightSource {
  return asF32(source, (dtype) => isQuantType(dtype) || dtype === "F64");
}

/** Sees f64 as f32; networks are loaded from that, f16, bf16 and block formats. */
export function withoutDoubles(source: WeightSource): WeightSource {
  return asF32(source, (dtype) => dtype === "F64");
}

function asF32(source: WeightSource, isWanted: (dtype: StoredDType) => boolean): WeightSource {
  if (!source.names().some((name) => isWanted(source.info(name).dtype))) return source;
  return castWeights(source, ({ dtype }) => isWanted(dtype) ? "F32" : dtype);
}

class CastWeights implements WeightSource {
  readonly name: string;
  readonly metadata: Record<string, string>;

  constructor(private readonly source: WeightSource, private readonly dtypeOf: (info: TensorInfo) => StoredDType) {
    this.name = source.name;
    this.metadata = source.metadata;
  }

  names(): string[] {
    return this.source.names();
  }

  has(name: string): boolean {
    return this.source.has(name);
  }

  info(name: string): TensorInfo {
    const info = this.source.info(name);
    const dtype = this.dtypeOf(info);
    if (dtype === info.dtype) return info;
    const count = info.shape.reduce((product, size) => product * size, 1);
    if (!isTargetDType(dtype) || !isFloat(info.dtype) || (info.shape.at(-1) ?? 1) % elementsOf(dtype) !== 0) {
      throw new WeightsError(`Cannot store ${describe(info)} of ${this.name} as ${dtype}: it does not fit that dtype`);
    }
    return { ...info, dtype, byteLength: bytesFor(dtype, count) };
  }

  async read(name: string, ...[start = 0, end, into]: ReadRange): Promise<Uint8Array<ArrayBuffer>> {
    const stored = this.source.info(name);
    const info = this.info(name);
    if (stored.dtype === info.dtype) return await this.source.read(name, start, end, into);
    const length = (end ?? info.byteLength) - start;
    checkRange(`tensor "${name}" of ${this.name}`, info.byteLength, start, length);
    if (length === 0) return new Uint8Array(0);
    // Whole blocks of both dtypes around the range.
    const unit = Math.max(elementsOf(stored.dtype), elementsOf(info.dtype));
    const [from, to] = [bytesFor(stored.dtype, unit), bytesFor(info.dtype, unit)];
    const first = Math.floor(start / to), last = Math.ceil((start + length) / to);
    const inner = await this.source.read(name, first * from, Math.min(last * from, stored.byteLength));
    const bytes = encode(info.dtype as TargetDType, floatsOf(stored.dtype, inner), info, this.name);
    return bytes.subarray(start - first * to, start - first * to + length);
  }

  [Symbol.dispose](): void {
    this.source[Symbol.dispose]();
  }
}

function encode(
  dtype: TargetDType,
  floats: Float32Array<ArrayBuffer>,
  info: TensorInfo,
  file: string,
): Uint8Array<ArrayBuffer> {
  const encoded = ENCODERS[dtype](floats);
  if (dtype === "F16") checkOverflow(encoded as Uint16Array, floats, info, file);
  return new Uint8Array(encoded.buffer, encoded.byteOffset, encoded.byteLength);
}

/** An infinity that f16 made is an error, not a weight. */
function checkOverflow(halves: Uint16Array, floats: Float32Array, info: TensorInfo, file: string): void {
  for (let i = 0; i < halves.length; i++) {
    if ((halves[i] & 0x7fff) !== 0x7c00 || !Number.isFinite(floats[i])) continue;
    throw new WeightsError(
      `Cannot store ${describe(info)} of ${file} as f16 reaches 65504: it holds ${floats[i]}; bf16 and f32 hold it`,
    );
  }
}
