// Two checkpoints of one network mixed. In: two WeightSources with the same names and shapes, and how much of the second. Out: a
// WeightSource in f32 that mixes what is read of it.

import { WeightsError } from "../errors.ts";
import { castWeights, isFloat } from "./cast_weights.ts";
import { describe, type ReadRange, type TensorInfo, type WeightSource } from "./weights.ts";

const { fround } = Math;

/**
 * Sees two checkpoints as a mixture: a + ratio * (b - a) of every number, rounded as torch.lerp does.
 *
 * @param ratio 0 is the first, 1 the second.
 * @returns A source in f32; disposing it disposes both.
 * @throws {WeightsError} when their names or shapes differ.
 * @example
 * ```ts
 * import { bytesOf } from "./byte_source.ts";
 * import { lerpWeights } from "./lerp_weights.ts";
 * import { encodeSafetensors, openSafetensors } from "./safetensors.ts";
 * import { readFloats } from "./weights.ts";
 * const one = (value: number) => openSafetensors(bytesOf("one", encodeSafetensors({
 *   w: { dtype: "F32", shape: [1], data: Float32Array.of(value) },
 * })));
 * using mixed = lerpWeights(await one(1), await one(3), 0.25);
 * console.assert((await readFloats(mixed, "w"))[0] === 1.5);
 * ```
 */
export function lerpWeights(a: WeightSource, b: WeightSource, ratio: number): WeightSource {
  const names = [...new Set([...a.names(), ...b.names()])];
  const different = names.find((name) =>
    !a.has(name) || !b.has(name) || a.info(name).shape.join() !== b.info(name).shape.join()
  );
  if (different !== undefined) {
    const state = [a, b].map((source) => source.has(different) ? describe(source.info(different)) : "it is missing");
    throw new WeightsError(
      `Cannot merge ${a.name} and ${b.name} as their tensors must have the same names and shapes: ` +
        `of "${different.slice(0, 120)}", ${state.join(" and ")}`,
    );
  }
  return new LerpWeights(a, b, ratio);
}

class LerpWeights implements WeightSource {
  readonly name: string;
  readonly metadata: Record<string, string> = {};
  readonly #a: WeightSource;
  readonly #b: WeightSource;
  readonly #ratio: number;

  constructor(a: WeightSource, b: WeightSource, ratio: number) {
    this.name = `${a.name} and ${b.name}`;
    const asF32 = (source: WeightSource) => castWeights(source, ({ dtype }) => isFloat(dtype) ? "F32" : dtype);
    this.#a = asF32(a);
    this.#b = asF32(b);
    this.#ratio = fround(ratio);
  }

  names(): string[] {
    return this.#a.names();
  }

  has(name: string): boolean {
    return this.#a.has(name);
  }

  info(name: string): TensorInfo {
    return this.#a.info(name);
  }

  async read(name: string, ...[start = 0, end, into]: ReadRange): Promise<Uint8Array<ArrayBuffer>> {
    const { dtype, byteLength } = this.info(name);
    if (dtype !== "F32") return await this.#a.read(name, start, end, into);
    const first = start & ~3, last = ((end ?? byteLength) + 3) & ~3;
    const [a, b] = [await floats(this.#a, name, first, last), await floats(this.#b, name, first, last)];
    const out = new Float32Array(a.length);
    // From the nearer end, so that both ends are met exactly; the sum rounds once, as a fused multiply-add does.
    const near = this.#ratio < 0.5 ? a : b;
    const weight = this.#ratio < 0.5 ? this.#ratio : fround(this.#ratio - 1);
    for (let i = 0; i < out.length; i++) out[i] = near[i] + weight * fround(b[i] - a[i]);
    return new Uint8Array(out.buffer, start - first, (end ?? byteLength) - start);
  }

  [Symbol.dispose](): void {
    this.#a[Symbol.dispose]();
    this.#b[Symbol.dispose]();
  }
}

async function floats(source: WeightSource, name: string, start: number, end: number): Promise<Float32Array> {
  const bytes = await source.read(name, start, end);
  const held = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(held.buffer, held.byteOffset, held.length / 4);
}
