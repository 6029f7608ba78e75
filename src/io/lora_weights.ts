// A checkpoint with a LoRA or DoRA in its weights. In: a WeightSource, a LoRA that was read for it, its scale. Out: a WeightSource in
// which the weights that it changes are changed, in f32, row by row as they are read.

import { castWeights } from "./cast_weights.ts";
import type { LoraFile, LoraUpdate } from "./lora_file.ts";
import type { LoraModule } from "./lora_names.ts";
import { floatsOf, type ReadRange, type TensorInfo, type WeightSource } from "./weights.ts";

const WEIGHT = ".weight";

/** The modules of a checkpoint that a LoRA may change: all whose weight is a matrix or a convolution. */
export function loraModules(source: WeightSource): LoraModule[] {
  const weights = source.names().filter((name) => name.endsWith(WEIGHT) && source.info(name).shape.length >= 2);
  return weights.map((name) => ({ name: name.slice(0, -WEIGHT.length), shape: source.info(name).shape }));
}

/**
 * Sees a checkpoint with a LoRA fused in: W + scale * alpha / rank * up down, and for a DoRA its rows then set to their lengths.
 *
 * @returns A source that is disposed with the given one.
 */
export function withLora(source: WeightSource, lora: LoraFile, scale: number): WeightSource {
  return new LoraWeights(source, lora.updates, scale);
}

class LoraWeights implements WeightSource {
  readonly name: string;
  readonly metadata: Record<string, string>;
  readonly #plain: WeightSource;

  constructor(
    source: WeightSource,
    private readonly updates: ReadonlyMap<string, LoraUpdate>,
    private readonly scale: number,
  ) {
    this.name = source.name;
    this.metadata = source.metadata;
    this.#plain = castWeights(source, ({ name, dtype }) => this.#update(name) ? "F32" : dtype);
  }

  #update(name: string): LoraUpdate | undefined {
    return name.endsWith(WEIGHT) ? this.updates.get(name.slice(0, -WEIGHT.length)) : undefined;
  }

  names(): string[] {
    return this.#plain.names();
  }

  has(name: string): boolean {
    return this.#plain.has(name);
  }

  info(name: string): TensorInfo {
    return this.#plain.info(name);
  }

  async read(name: string, ...[start = 0, end, into]: ReadRange): Promise<Uint8Array<ArrayBuffer>> {
    const update = this.#update(name);
    if (!update) return await this.#plain.read(name, start, end, into);
    const { shape: [rows], byteLength } = this.info(name);
    const rowBytes = byteLength / rows;
    const stop = end ?? byteLength;
    const first = Math.floor(start / rowBytes), last = Math.ceil(stop / rowBytes);
    const bytes = await this.#plain.read(name, first * rowBytes, last * rowBytes);
    const weights = floatsOf("F32", bytes);
    const out = new Float32Array(weights.length);
    const width = rowBytes / 4;
    for (let row = first; row < last; row++) {
      const at = (row - first) * width;
      changeRow(weights.subarray(at, at + width), update, row, this.scale, out.subarray(at, at + width));
    }
    return new Uint8Array(out.buffer, start - first * rowBytes, stop - start);
  }

  [Symbol.dispose](): void {
    this.#plain[Symbol.dispose]();
  }
}

function changeRow(
  weights: Float32Array,
  { rank, scaling, down, up, magnitude }: LoraUpdate,
  row: number,
  scale: number,
  out: Float32Array,
): void {
  const sums = Float64Array.from(weights);
  for (let r = 0; r < rank; r++) {
    const factor = scale * scaling * up[row * rank + r];
    const from = r * sums.length;
    for (let k = 0; k < sums.length; k++) sums[k] += factor * down[from + k];
  }
  const length = magnitude ? Math.sqrt(sums.reduce((sum, value) => sum + value * value, 0)) : 1;
  const stretch = magnitude && length > 0 ? magnitude[row] / length : 1;
  for (let k = 0; k < sums.length; k++) out[k] = sums[k] * stretch;
}
