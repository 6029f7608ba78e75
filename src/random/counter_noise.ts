// Cheap random bits by place: the n-th of a stream can be had without the ones before it. In: a seed, the name of a stream, places.
// Out: 32 bits a place. For tensors of billions of numbers whose quality need not be PyTorch's; not for images, see generator.ts.

/** Mixes the bits of a word so that each depends on all. */
function mix(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}

/** A stream of random words. */
export class CounterNoise {
  readonly #before: number;
  readonly #between: number;

  /**
   * @param seed A whole number; its lower 53 bits count.
   * @param name Streams of other names are other numbers.
   */
  constructor(seed: number, name: string) {
    let word = mix(mix(seed | 0) ^ Math.floor(seed / 2 ** 32));
    for (let i = 0; i < name.length; i++) word = mix(word + name.charCodeAt(i));
    this.#before = word;
    this.#between = mix(word ^ 0x9e3779b9);
  }

  /**
   * Writes the words of the places from `start` on.
   *
   * @example
   * ```ts
   * import { CounterNoise } from "./counter_noise.ts";
   * const noise = new CounterNoise(0, "w");
   * const [all, second] = [new Uint32Array(2), new Uint32Array(1)];
   * noise.fill(0, all);
   * noise.fill(1, second);
   * console.assert(all[1] === second[0]);
   * ```
   */
  fill(start: number, out: Uint32Array): void {
    const before = this.#before, between = this.#between;
    // Two rounds with a key before each: with one, two streams would be the same words in another order.
    for (let i = 0; i < out.length; i++) {
      let word = Math.imul(start + i, 0x9e3779b1) + before;
      word = Math.imul(word ^ (word >>> 15), 0x85ebca6b) ^ between;
      word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
      out[i] = word ^ (word >>> 16);
    }
  }
}
