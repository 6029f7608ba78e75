// Random numbers as PyTorch draws them on a CPU, so that a seed means the same here and there. In: a seed. Out: draws, each
// of which goes on where the one before stopped. What each draw takes from the stream is PyTorch's, too: f32 numbers take
// one word each, normal numbers of 16 and more come in blocks of 16, fewer come one by one in double precision.
import { UsageError } from "../errors.ts";
import { logFloat, sinCosFloat } from "./float_math.ts";
import { MersenneTwister } from "./mersenne_twister.ts";

const BLOCK = 16;
const TWO_PI = Math.fround(2 * Math.PI);

// From this width on PyTorch takes 64 bits an integer, lest the remainder favour small numbers visibly.
const WIDE = 2 ** 28;

/**
 * The counterpart of `torch.Generator("cpu").manual_seed(seed)`.
 *
 * @example
 * ```ts
 * import { Generator } from "./generator.ts";
 * const generator = new Generator(0);
 * const latents = generator.randn([1, 4, 8, 8]);
 * console.assert(latents.length === 256 && Math.abs(latents[0] + 1.1258) < 1e-4);
 * ```
 */
export class Generator {
  #engine!: MersenneTwister;
  #seed!: bigint;
  // One by one, normal numbers come in pairs: the second waits here for the next draw.
  #spare: number | undefined;

  /**
   * @param seed A whole number of [-2^63, 2^64). Negative ones count from 2^64 down.
   * @throws {UsageError} when it is not.
   */
  constructor(seed: number | bigint) {
    this.manualSeed(seed);
  }

  /** A generator with a seed that nobody chose, of [0, 2^32). */
  static fromEntropy(): Generator {
    return new Generator(crypto.getRandomValues(new Uint32Array(1))[0]);
  }

  /** The seed that the stream began with, in [0, 2^64). */
  get seed(): bigint {
    return this.#seed;
  }

  /**
   * Begins the stream of a seed.
   *
   * @throws {UsageError} when the seed is not a whole number of [-2^63, 2^64).
   */
  manualSeed(seed: number | bigint): this {
    const isWhole = typeof seed === "bigint" || Number.isSafeInteger(seed);
    if (!isWhole || seed < -(2n ** 63n) || seed >= 2n ** 64n) {
      throw new UsageError(`Cannot seed a generator as seeds are whole numbers of [-2^63, 2^64): ${seed}`);
    }
    this.#seed = BigInt.asUintN(64, BigInt(seed));
    // PyTorch keeps all 64 bits but feeds the engine the low 32.
    this.#engine = new MersenneTwister(Number(this.#seed & 0xffffffffn));
    this.#spare = undefined;
    return this;
  }

  /**
   * Draws standard normal numbers, as `torch.randn` does in f32.
   *
   * @param shape Any shape; only the number of elements matters.
   * @returns the elements in row-major order.
   * @throws {UsageError} when the shape is not one.
   */
  randn(shape: readonly number[]): Float32Array<ArrayBuffer> {
    const count = shape.reduce((product, size) => product * checked(size, "an axis"), 1);
    const out = new Float32Array(count);
    if (count < BLOCK) return out.map(() => this.#normal());
    for (let i = 0; i < count; i++) out[i] = this.#uniform();
    for (let at = 0; at + BLOCK <= count; at += BLOCK) normalBlock(out.subarray(at, at + BLOCK));
    if (count % BLOCK !== 0) {
      // The last block is drawn anew; what it overlaps is lost.
      const tail = out.subarray(count - BLOCK);
      for (let i = 0; i < BLOCK; i++) tail[i] = this.#uniform();
      normalBlock(tail);
    }
    return out;
  }

  /**
   * Draws numbers of [0, 1), as `torch.rand` does in f32.
   *
   * @param n How many.
   */
  rand(n: number): Float32Array<ArrayBuffer> {
    const out = new Float32Array(checked(n, "a count"));
    for (let i = 0; i < n; i++) out[i] = this.#uniform();
    return out;
  }

  /**
   * Draws whole numbers of [low, high), as `torch.randint` does.
   *
   * @param n How many.
   * @throws {UsageError} when the range is empty or beyond what a number holds.
   */
  randint(low: number, high: number, n: number): number[] {
    const width = high - low;
    if (![low, high, width].every(Number.isSafeInteger) || width < 1) {
      throw new UsageError(`Cannot draw whole numbers of [low, high) as low must be less: ${low} and ${high}`);
    }
    const draw = () => width < WIDE ? this.#engine.next() % width : Number(this.#word64() % BigInt(width));
    return Array.from({ length: checked(n, "a count") }, () => low + draw());
  }

  /**
   * Draws an order of the numbers 0 to n - 1, as `torch.randperm` does.
   *
   * @param n How many, less than 2^32 / 20.
   * @throws {UsageError} when n is more.
   */
  randperm(n: number): number[] {
    // Longer ones take more words each; an index over a data set stays far below.
    if (checked(n, "a count") >= 0xffffffff / 20) {
      throw new UsageError(`Cannot permute numbers as there must be less than 2^32 / 20: ${n}`);
    }
    const order = Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < n - 1; i++) {
      const other = i + this.#engine.next() % (n - i);
      [order[i], order[other]] = [order[other], order[i]];
    }
    return order;
  }

  /** Of [0, 1), a multiple of 2^-24. */
  #uniform(): number {
    return (this.#engine.next() & 0xffffff) * 2 ** -24;
  }

  /** Of [0, 1), a multiple of 2^-53. */
  #uniformDouble(): number {
    const high = this.#engine.next() & 0x1fffff;
    return (high * 2 ** 32 + this.#engine.next()) * 2 ** -53;
  }

  #word64(): bigint {
    const high = BigInt(this.#engine.next());
    return (high << 32n) | BigInt(this.#engine.next());
  }

  /** One normal number by Box and Muller's method in double precision. */
  #normal(): number {
    const spare = this.#spare;
    if (spare !== undefined) {
      this.#spare = undefined;
      return spare;
    }
    const angle = 2 * Math.PI * this.#uniformDouble();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#uniformDouble()));
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** Box and Muller's method on 16 uniform numbers in place: the first eight give radii, the last eight angles. */
function normalBlock(block: Float32Array): void {
  const round = Math.fround;
  for (let i = 0; i < BLOCK / 2; i++) {
    const radius = round(Math.sqrt(round(-2 * logFloat(1 - block[i]))));
    const [sin, cos] = sinCosFloat(round(TWO_PI * block[i + 8]));
    block[i] = radius * cos;
    block[i + 8] = radius * sin;
  }
}

function checked(size: number, what: string): number {
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw new UsageError(`Cannot draw random numbers as ${what} must be a whole number of at least 0: ${size}`);
}
