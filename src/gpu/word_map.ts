// A map whose keys are short rows of 32-bit words: the parameters of a dispatch, the places that it binds. In: words at the start of
// an array that is used again and again. Out: what was kept under equal words. It is asked several times a dispatch, where joining
// the words to a string takes some microseconds and this a tenth of one; a hash finds a few candidates, a comparison decides.

interface Entry<Value> {
  words: Int32Array;
  value: Value;
  /** Another of the same hash. */
  next: Entry<Value> | undefined;
}

function hashOf(words: Int32Array, length: number): number {
  let hash = length;
  for (let i = 0; i < length; i++) {
    hash = Math.imul(hash ^ words[i], 0x9e3779b1); // Knuth's multiplier; what it moves up comes down again, since ids are small
    hash ^= hash >>> 15;
  }
  return hash;
}

function startsWith(words: Int32Array, key: Int32Array): boolean {
  for (let i = 0; i < key.length; i++) if (words[i] !== key[i]) return false;
  return true;
}

/** Values by rows of words. */
export class WordMap<Value> {
  readonly #entries = new Map<number, Entry<Value>>();
  #size = 0;

  /** How many values there are. */
  get size(): number {
    return this.#size;
  }

  /** What is kept under the first `length` words. */
  get(words: Int32Array, length: number): Value | undefined {
    for (let entry = this.#entries.get(hashOf(words, length)); entry; entry = entry.next) {
      if (entry.words.length === length && startsWith(words, entry.words)) return entry.value;
    }
    return undefined;
  }

  /** Keeps a value under words that have none. */
  add(words: Int32Array, length: number, value: Value): void {
    const hash = hashOf(words, length);
    this.#entries.set(hash, { words: words.slice(0, length), value, next: this.#entries.get(hash) });
    this.#size++;
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear();
    this.#size = 0;
  }
}
