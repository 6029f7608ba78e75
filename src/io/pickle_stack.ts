// The stack of a pickle, on which its values are put together. In: values one by one. Out: lists, tuples, dicts and sets of them.
// Everything is bounded, so that a hostile pickle ends in an error.

/** Thrown for what a pickle must not do or name; the reader adds the file and the place. */
export class RefusedError extends Error {}

/** Containers, calls, names and long integers: what takes more memory or time than its bytes tell. */
const MOST_OBJECTS = 400_000;
const MOST_MEMOS = 1_000_000;

/** Values in the order in which they came, marks between them, and a memo of those that are needed again. */
export class PickleStack {
  #values: unknown[] = [];
  #marks: number[] = [];
  #memo = new Map<number, unknown>();
  #objects = 0;

  /** @param swallows Whether items may be added to a value that is no container, without effect. */
  constructor(private readonly swallows: (value: unknown) => boolean) {}

  push(value: unknown): void {
    this.#values.push(value);
  }

  /** Pushes what counts as an object. */
  pushObject(value: unknown): void {
    this.countObject();
    this.#values.push(value);
  }

  countObject(): void {
    if (++this.#objects > MOST_OBJECTS) throw new RefusedError(`it holds more than ${MOST_OBJECTS} objects`);
  }

  top(): unknown {
    if (this.#values.length <= (this.#marks.at(-1) ?? 0)) {
      throw new RefusedError("it takes a value where there is none");
    }
    return this.#values[this.#values.length - 1];
  }

  pop(): unknown {
    const value = this.top();
    this.#values.length--;
    return value;
  }

  /** The last value, when it is the only one. */
  last(): unknown {
    const value = this.pop();
    if (this.#values.length > 0) throw new RefusedError(`it leaves ${this.#values.length} values behind`);
    return value;
  }

  mark(): void {
    this.#marks.push(this.#values.length);
  }

  /** Drops the last value or, where there is none behind the last mark, the mark. */
  drop(): void {
    if (this.#marks.at(-1) === this.#values.length) this.#marks.pop();
    else this.pop();
  }

  /** Takes all values down to the last mark, which goes, too. */
  popToMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw new RefusedError("it takes values down to a mark that is not there");
    return this.#values.splice(mark);
  }

  /** Puts the last values into a tuple, which is a frozen array. */
  tuple(count: number): void {
    const items = new Array(count);
    for (let i = count - 1; i >= 0; i--) items[i] = this.pop();
    this.pushObject(Object.freeze(items));
  }

  append(items: unknown[]): void {
    const list = this.top();
    if (Array.isArray(list) && !Object.isFrozen(list)) { for (const item of items) list.push(item); }
    else if (!this.swallows(list)) throw new RefusedError("it appends to something that is not a list");
  }

  addToSet(items: unknown[]): void {
    const set = this.top();
    if (set instanceof Set) { for (const item of items) set.add(item); }
    else if (!this.swallows(set)) throw new RefusedError("it adds to something that is not a set");
  }

  /** @param items Keys and values in turn. */
  setItems(items: unknown[]): void {
    const dict = this.top();
    if (items.length % 2 !== 0) throw new RefusedError("it sets a key without a value");
    if (dict instanceof Map) {
      for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    } else if (!this.swallows(dict)) throw new RefusedError("it sets items of something that is not a dict");
  }

  /** Keeps the last value under a number; under the next one when it is left out. */
  remember(key = this.#memo.size): void {
    this.#memo.set(key, this.top());
    if (this.#memo.size > MOST_MEMOS) throw new RefusedError(`it remembers more than ${MOST_MEMOS} values`);
  }

  recall(key: number): void {
    if (!this.#memo.has(key)) throw new RefusedError(`it recalls value ${key}, which it did not remember`);
    this.push(this.#memo.get(key));
  }
}
