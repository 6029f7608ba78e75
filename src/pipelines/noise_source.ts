// The noise of a run, drawn in the order diffusers draws it. In: a seed, or one a sample. Out: standard normal numbers.

import { Generator } from "../random/generator.ts";

/** Some samples of a batch, which are made at once. */
export interface BatchPart {
  /** The first of them. */
  start: number;
  count: number;
  /** Samples of the whole batch. */
  batch: number;
}

/** One generator for a batch, or one for each of its samples. */
export class NoiseSource {
  readonly #generators: Generator[];
  readonly #isShared: boolean;
  readonly #part: BatchPart | undefined;

  /**
   * @param seed One seed for the whole batch, or one a sample of it.
   * @param part The samples that are made; they get the noise that they have in the whole batch.
   */
  constructor(seed: number | readonly number[], part?: BatchPart) {
    this.#isShared = typeof seed === "number";
    this.#part = part;
    const seeds = typeof seed === "number" ? [seed] : part ? seed.slice(part.start, part.start + part.count) : seed;
    this.#generators = seeds.map((one) => new Generator(one));
  }

  /** Draws [B, ...] for the samples that are made. */
  draw(shape: readonly number[]): Float32Array {
    const { start, batch } = this.#part ?? { start: 0, batch: shape[0] };
    return this.drawFrom(shape, Array.from({ length: shape[0] }, (_, i) => start + i), batch);
  }

  /**
   * Draws [B, ...] where samples may have their noise in common, as those have that are made of one picture.
   *
   * @param sources [B] which of the draws of a shared generator each sample takes; samples with seeds of their own take their own.
   * @param draws How many a shared generator makes.
   */
  drawFrom(shape: readonly number[], sources: readonly number[], draws: number): Float32Array {
    const item = shape.slice(1), size = item.reduce((product, extent) => product * extent, 1);
    const noise = new Float32Array(shape[0] * size);
    const shared = this.#isShared ? this.#generators[0].randn([draws, ...item]) : undefined;
    sources.forEach((source, i) => {
      const own = shared?.subarray(source * size, (source + 1) * size) ?? this.#generators[i].randn([1, ...item]);
      noise.set(own, i * size);
    });
    return noise;
  }
}
