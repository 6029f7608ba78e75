// MT19937, the engine behind PyTorch's CPU generator (Matsumoto and Nishimura 1998). In: a seed of 32 bits. Out: a stream
// of 32-bit words.

const SIZE = 624;
const SHIFT = 397;

/** The word made of the top bit of one and the rest of the next, times the generator's matrix. */
function twisted(top: number, rest: number): number {
  const word = (top & 0x80000000) | (rest & 0x7fffffff);
  return (word >>> 1) ^ (rest & 1 ? 0x9908b0df : 0);
}

/** The stream of one seed. */
export class MersenneTwister {
  readonly #state = new Uint32Array(SIZE);
  #at = SIZE;

  /** @param seed Its low 32 bits count. */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const before = state[i - 1] ^ (state[i - 1] >>> 30);
      state[i] = Math.imul(1812433253, before) + i;
    }
  }

  /** The next word, a whole number in [0, 2^32). */
  next(): number {
    if (this.#at === SIZE) this.#refill();
    let word = this.#state[this.#at++];
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      state[i] = state[(i + SHIFT) % SIZE] ^ twisted(state[i], state[(i + 1) % SIZE]);
    }
    this.#at = 0;
  }
}
