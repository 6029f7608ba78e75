// Random tensors that are made as they are read. In: a seed, and for each tensor its shape and how its numbers are spread. Out: a
// WeightSource; the same seed gives the same numbers in every dtype, whatever range is read.
// Each number is one of 65536 quantiles of its distribution, picked by 16 random bits: a table look-up is all that it costs.

import { WeightsError } from "../errors.ts";
import { checkRange } from "../io/byte_range.ts";
import { f32ToBf16, f32ToF16 } from "../io/half.ts";
import { BYTES_OF, type ReadRange, type TensorInfo, type WeightSource } from "../io/weights.ts";
import { CounterNoise } from "../random/counter_noise.ts";

/** How numbers are spread: normal with a standard deviation, uniform between -scale and scale, or all the same. */
export interface Spread {
  kind: "normal" | "uniform" | "constant";
  scale: number;
}

/** A tensor to be made. */
export interface RandomTensor {
  name: string;
  shape: readonly number[];
  spread: Spread;
}

/** The dtypes that numbers are made in. */
export type RandomDType = "F32" | "F16" | "BF16";

const QUANTILES = 65536;
const PIECE_WORDS = 1 << 16;

/** Middle quantiles of the standard normal distribution, by Acklam's approximation (relative error 1e-9). */
function normalQuantile(p: number): number {
  if (p > 0.5) return -normalQuantile(1 - p);
  if (p < 0.02425) {
    const q = Math.sqrt(-2 * Math.log(p));
    const top = polynomial(q, [
      -7.784894002430293e-3,
      -3.223964580411365e-1,
      -2.400758277161838,
      -2.549732539343734,
      4.374664141464968,
      2.938163982698783,
    ]);
    return top /
      polynomial(q, [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1]);
  }
  const q = p - 0.5, r = q * q;
  const top = polynomial(r, [
    -3.969683028665376e1,
    2.209460984245205e2,
    -2.759285104469687e2,
    1.38357751867269e2,
    -3.066479806614716e1,
    2.506628277459239,
  ]);
  return top * q /
    polynomial(r, [
      -5.447609879822406e1,
      1.615858368580409e2,
      -1.556989798598866e2,
      6.680131188771972e1,
      -1.328068155288572e1,
      1,
    ]);
}

const polynomial = (x: number, coefficients: readonly number[]) => coefficients.reduce((sum, c) => sum * x + c, 0);

const TABLES: Record<Spread["kind"], (p: number) => number> = {
  normal: normalQuantile,
  uniform: (p) => 2 * p - 1,
  constant: () => 1,
};

/** All that numbers of one spread can be, in f32 or as 16-bit patterns. */
function makeTable({ kind, scale }: Spread, dtype: RandomDType): Float32Array | Uint16Array {
  const quantile = TABLES[kind];
  const floats = Float32Array.from({ length: QUANTILES }, (_, i) => scale * quantile((i + 0.5) / QUANTILES));
  return dtype === "F32" ? floats : dtype === "F16" ? f32ToF16(floats) : f32ToBf16(floats);
}

/** A checkpoint of random numbers. */
export class RandomWeights implements WeightSource {
  readonly metadata: Record<string, string> = {};
  readonly #tensors: ReadonlyMap<string, RandomTensor>;
  readonly #tables = new Map<string, Float32Array | Uint16Array>();
  readonly #words = new Uint32Array(PIECE_WORDS);

  /** @param name What messages call it. */
  constructor(
    readonly name: string,
    tensors: readonly RandomTensor[],
    private readonly seed: number,
    private readonly dtype: RandomDType,
  ) {
    this.#tensors = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  }

  names(): string[] {
    return [...this.#tensors.keys()].sort();
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): TensorInfo {
    const { shape } = this.#find(name);
    const byteLength = shape.reduce((product, size) => product * size, BYTES_OF[this.dtype]);
    return { name, dtype: this.dtype, shape: [...shape], byteLength };
  }

  // `async` so that a range outside the tensor rejects, as it does for a file.
  // deno-lint-ignore require-await
  async read(name: string, ...[start = 0, end, into]: ReadRange): Promise<Uint8Array<ArrayBuffer>> {
    const { byteLength } = this.info(name);
    const length = (end ?? byteLength) - start;
    checkRange(`tensor "${name}" of ${this.name}`, byteLength, start, length);
    // Whole pairs of numbers, which share a word.
    const pair = 2 * BYTES_OF[this.dtype];
    const first = Math.floor(start / pair), last = Math.ceil((start + length) / pair);
    const size = (last - first) * pair;
    const fits = into !== undefined && into.length >= size && into.byteOffset % pair === 0;
    const out = fits ? into.subarray(0, size) : new Uint8Array(size);
    this.#fill(this.#find(name), first, out);
    return out.subarray(start - first * pair, start - first * pair + length);
  }

  #fill({ name, spread }: RandomTensor, firstPair: number, out: Uint8Array<ArrayBuffer>): void {
    const table = this.#table(spread);
    const noise = new CounterNoise(this.seed, name);
    const pairs = out.length / (2 * BYTES_OF[this.dtype]);
    const to = new (table instanceof Float32Array ? Float32Array : Uint32Array)(
      out.buffer,
      out.byteOffset,
      out.length / 4,
    );
    for (let done = 0; done < pairs; done += PIECE_WORDS) {
      const words = this.#words.subarray(0, Math.min(PIECE_WORDS, pairs - done));
      noise.fill(firstPair + done, words);
      if (table instanceof Float32Array) spreadPairs(words, table, to.subarray(2 * done) as Float32Array);
      else spreadHalves(words, table, to.subarray(done) as Uint32Array);
    }
  }

  #table(spread: Spread): Float32Array | Uint16Array {
    const key = `${spread.kind} ${spread.scale}`;
    const known = this.#tables.get(key) ?? makeTable(spread, this.dtype);
    this.#tables.set(key, known);
    return known;
  }

  #find(name: string): RandomTensor {
    const tensor = this.#tensors.get(name);
    if (tensor) return tensor;
    throw new WeightsError(`Cannot find tensor "${name}" in ${this.name}: it holds ${this.#tensors.size} others`);
  }

  [Symbol.dispose](): void {
    this.#tables.clear();
  }
}

function spreadPairs(words: Uint32Array, table: Float32Array, out: Float32Array): void {
  for (let i = 0; i < words.length; i++) {
    out[2 * i] = table[words[i] & 0xffff];
    out[2 * i + 1] = table[words[i] >>> 16];
  }
}

function spreadHalves(words: Uint32Array, table: Uint16Array, out: Uint32Array): void {
  for (let i = 0; i < words.length; i++) out[i] = table[words[i] & 0xffff] | (table[words[i] >>> 16] << 16);
}
