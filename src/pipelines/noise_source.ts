// The noise of a run, drawn in the order diffusers draws it. In: a seed, or one a sample. Out: standard normal numbers.

import { Generator } from "../random/generator.ts";

/** One generator for a batch, or one for each of its samples. */
export class NoiseSource {
  readonly #generators: Generator[];

  /** @param seed One seed for the whole batch, or one a sample. */
  constructor(seed: number | readonly number[]) {
    this.#generators = (typeof seed === "number" ? [seed] : seed).map((one) => new Generator(one));
  }

  /** Draws [B, ...]. */
  draw(shape: readonly number[]): Float32Array {
    if (this.#generators.length === 1) return this.#generators[0].randn(shape);
    const samples = this.#generators.map((generator) => generator.randn([1, ...shape.slice(1)]));
    const noise = new Float32Array(samples.reduce((sum, sample) => sum + sample.length, 0));
    samples.forEach((sample, i) => noise.set(sample, i * sample.length));
    return noise;
  }
}
