// Python's pickle, protocols 2 to 5, as data. In: bytes. Out: numbers, strings, arrays (tuples are frozen), Maps for dicts, Sets.
// Names of Python's objects, calls and references to storages mean nothing here: PickleRules says what they give, or refuses.
// Nothing recurses, and steps, containers and memo are bounded, so a hostile pickle ends in an error.
import { ByteCursor, type Wrong } from "./byte_cursor.ts";

/** What a pickle may speak of beyond plain data. Each gives a value, or throws. */
export interface PickleRules {
  /** Makes the error of the file that the pickle stands in. */
  wrong: Wrong;
  /** A name, such as `collections` and `OrderedDict`. */
  global(module: string, name: string): unknown;
  /** A call of what `global` or a call gave. */
  call(callable: unknown, args: readonly unknown[]): unknown;
  /** Attributes that are set on a value. */
  build(value: unknown, state: unknown): void;
  /** What is kept outside the pickle: in torch's files, the numbers of a tensor. */
  persistent(id: unknown): unknown;
  /** Whether items may be added to a value that is no container, without effect. */
  swallows(value: unknown): boolean;
}

const MOST_STEPS = 4_000_000;
const MOST_CONTAINERS = 400_000;
const MOST_MEMOS = 1_000_000;
const LONGEST_INTEGER = 256;

/** The opcodes that make objects in ways that torch does not use, and those that text pickles consist of. */
const REFUSED: Record<number, string> = {
  0x69: "INST",
  0x6f: "OBJ",
  0x50: "PERSID",
  0x82: "EXT1",
  0x83: "EXT2",
  0x84: "EXT4",
  0x97: "NEXT_BUFFER",
  0x98: "READONLY_BUFFER",
};

/**
 * Reads one pickle.
 *
 * @param bytes What holds the pickle; there may be more behind it.
 * @param start Where it begins.
 * @returns its value, and where the bytes behind it begin.
 * @throws {NeedsMore} when the bytes end before the pickle does.
 * @throws {WeightsError} when it is broken, too large, or speaks of something that the rules refuse.
 */
export function readPickle(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  rules: PickleRules,
): { value: unknown; end: number } {
  const machine = new PickleMachine(new ByteCursor(bytes, start), rules);
  return { value: machine.run(), end: machine.cursor.at };
}

class PickleMachine {
  #stack: unknown[] = [];
  #marks: number[] = [];
  #memo = new Map<number, unknown>();
  #containers = 0;
  #at = 0;

  constructor(readonly cursor: ByteCursor, private readonly rules: PickleRules) {}

  run(): unknown {
    for (let steps = 0;; steps++) {
      if (steps > MOST_STEPS) throw this.#wrong(`it has more than ${MOST_STEPS} steps`);
      this.#at = this.cursor.at;
      const code = this.cursor.u8();
      if (code === 0x2e) break;
      if (!this.#number(code) && !this.#text(code) && !this.#container(code) && !this.#object(code)) {
        const called = REFUSED[code] ?? `0x${code.toString(16).padStart(2, "0")}`;
        throw this.#wrong(`its opcode ${called} is not one of those that torch writes in protocols 2 to 5`);
      }
    }
    const value = this.#pop();
    if (this.#stack.length > 0) throw this.#wrong(`it leaves ${this.#stack.length} values behind`);
    return value;
  }

  #wrong(state: string) {
    return this.rules.wrong(`its pickle, at byte ${this.#at}: ${state}`);
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #pop(): unknown {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.#wrong("it takes a value where there is none");
    return this.#stack.pop();
  }

  #top(): unknown {
    if (this.#stack.length <= (this.#marks.at(-1) ?? 0)) throw this.#wrong("it takes a value where there is none");
    return this.#stack[this.#stack.length - 1];
  }

  /** All values down to the last mark, which goes, too. */
  #popToMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#wrong("it takes values down to a mark that is not there");
    return this.#stack.splice(mark);
  }

  #contain<Container>(value: Container): void {
    if (++this.#containers > MOST_CONTAINERS) throw this.#wrong(`it holds more than ${MOST_CONTAINERS} containers`);
    this.#push(value);
  }

  #tuple(count: number): void {
    const items = new Array(count);
    for (let i = count - 1; i >= 0; i--) items[i] = this.#pop();
    this.#contain(Object.freeze(items));
  }

  #number(code: number): boolean {
    const { cursor } = this;
    if (code === 0x4e) this.#push(null);
    else if (code === 0x88) this.#push(true);
    else if (code === 0x89) this.#push(false);
    else if (code === 0x4a) this.#push(cursor.i32());
    else if (code === 0x4b) this.#push(cursor.u8());
    else if (code === 0x4d) this.#push(cursor.u16());
    else if (code === 0x8a) this.#push(this.#integer(cursor.u8()));
    else if (code === 0x8b) this.#push(this.#integer(cursor.u32()));
    else if (code === 0x47) this.#push(cursor.f64(false));
    else return false;
    return true;
  }

  /** An integer of any length in two's complement: a number where that is exact, else a bigint. */
  #integer(length: number): number | bigint {
    if (length > LONGEST_INTEGER) {
      throw this.#wrong(`an integer has ${length} bytes, and ${LONGEST_INTEGER} are allowed`);
    }
    const bytes = this.cursor.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    if (length > 0 && bytes[length - 1] & 128) value -= 1n << BigInt(8 * length);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  #text(code: number): boolean {
    const { cursor } = this;
    if (code === 0x58) this.#push(this.#utf8(cursor.u32()));
    else if (code === 0x8c) this.#push(this.#utf8(cursor.u8()));
    else if (code === 0x8d) this.#push(this.#utf8(cursor.u64()));
    else if (code === 0x55) this.#push(latin1(cursor.take(cursor.u8())));
    else if (code === 0x54) this.#push(latin1(cursor.take(cursor.u32())));
    else if (code === 0x43) this.#push(cursor.take(cursor.u8()).slice());
    else if (code === 0x42) this.#push(cursor.take(cursor.u32()).slice());
    else if (code === 0x8e || code === 0x96) this.#push(cursor.take(cursor.u64()).slice());
    else return false;
    return true;
  }

  #utf8(length: number): string {
    // Python's surrogates, which UTF-8 does not have, become the replacement sign: no name of a tensor holds one.
    return new TextDecoder().decode(this.cursor.take(length));
  }

  #container(code: number): boolean {
    if (code === 0x28) this.#marks.push(this.#stack.length);
    else if (code === 0x30) this.#popOrMark();
    else if (code === 0x31) this.#popToMark();
    else if (code === 0x32) this.#push(this.#top());
    else if (code === 0x7d) this.#contain(new Map());
    else if (code === 0x5d) this.#contain([]);
    else if (code === 0x8f) this.#contain(new Set());
    else if (code === 0x29) this.#tuple(0);
    else if (code >= 0x85 && code <= 0x87) this.#tuple(code - 0x84);
    else if (code === 0x74) this.#contain(Object.freeze(this.#popToMark()));
    else if (code === 0x91) this.#contain(new Set(this.#popToMark()));
    else if (code === 0x61) this.#append([this.#pop()]);
    else if (code === 0x65) this.#append(this.#popToMark());
    else if (code === 0x90) this.#addItems(this.#popToMark());
    else if (code === 0x73) this.#setItems([this.#pop(), this.#pop()].reverse());
    else if (code === 0x75) this.#setItems(this.#popToMark());
    else return false;
    return true;
  }

  #popOrMark(): void {
    if (this.#marks.at(-1) === this.#stack.length) this.#marks.pop();
    else this.#pop();
  }

  #append(items: unknown[]): void {
    const list = this.#top();
    if (Array.isArray(list) && !Object.isFrozen(list)) { for (const item of items) list.push(item); }
    else if (!this.rules.swallows(list)) throw this.#wrong("it appends to something that is not a list");
  }

  #addItems(items: unknown[]): void {
    const set = this.#top();
    if (set instanceof Set) { for (const item of items) set.add(item); }
    else if (!this.rules.swallows(set)) throw this.#wrong("it adds to something that is not a set");
  }

  #setItems(items: unknown[]): void {
    const dict = this.#top();
    if (items.length % 2 !== 0) throw this.#wrong("it sets a key without a value");
    if (dict instanceof Map) {
      for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
    } else if (!this.rules.swallows(dict)) throw this.#wrong("it sets items of something that is not a dict");
  }

  #object(code: number): boolean {
    const { cursor } = this;
    if (code === 0x80) this.#checkProtocol(cursor.u8());
    else if (code === 0x95) cursor.skip(8);
    else if (code === 0x71) this.#remember(cursor.u8());
    else if (code === 0x72) this.#remember(cursor.u32());
    else if (code === 0x94) this.#remember(this.#memo.size);
    else if (code === 0x68) this.#recall(cursor.u8());
    else if (code === 0x6a) this.#recall(cursor.u32());
    else if (code === 0x63) this.#global(this.#line(), this.#line());
    else if (code === 0x93) this.#global(...[this.#pop(), this.#pop()].reverse());
    else if (code === 0x52 || code === 0x81) this.#call(this.#pop(), this.#pop());
    else if (code === 0x92) this.#callWithNames(this.#pop(), this.#pop(), this.#pop());
    else if (code === 0x51) this.#persistent(this.#pop());
    else if (code === 0x62) this.#build(this.#pop());
    else return false;
    return true;
  }

  #checkProtocol(version: number): void {
    if (version < 2 || version > 5) throw this.#wrong(`its protocol is ${version}, and 2 to 5 are known`);
  }

  #remember(key: number): void {
    this.#memo.set(key, this.#top());
    if (this.#memo.size > MOST_MEMOS) throw this.#wrong(`it remembers more than ${MOST_MEMOS} values`);
  }

  #recall(key: number): void {
    if (!this.#memo.has(key)) throw this.#wrong(`it recalls value ${key}, which it did not remember`);
    this.#push(this.#memo.get(key));
  }

  #line(): string {
    const end = this.cursor.bytes.indexOf(10, this.cursor.at);
    const length = (end < 0 ? this.cursor.bytes.length : end) - this.cursor.at;
    if (length > 1024) throw this.#wrong("it holds a name of more than 1024 bytes");
    const text = new TextDecoder().decode(this.cursor.take(length));
    this.cursor.skip(1);
    return text;
  }

  #global(...[module, name]: unknown[]): void {
    if (typeof module !== "string" || typeof name !== "string") throw this.#wrong("it names an object by no string");
    this.#push(this.#told(() => this.rules.global(module, name)));
  }

  #call(args: unknown, callable: unknown): void {
    if (!Array.isArray(args)) throw this.#wrong("it calls an object with no tuple of arguments");
    if (++this.#containers > MOST_CONTAINERS) throw this.#wrong(`it holds more than ${MOST_CONTAINERS} containers`);
    this.#push(this.#told(() => this.rules.call(callable, args)));
  }

  #callWithNames(names: unknown, args: unknown, callable: unknown): void {
    if (!(names instanceof Map)) throw this.#wrong("it calls an object with no dict of named arguments");
    this.#call(args, callable);
  }

  #persistent(id: unknown): void {
    this.#push(this.#told(() => this.rules.persistent(id)));
  }

  #build(state: unknown): void {
    const value = this.#top();
    this.#told(() => this.rules.build(value, state));
  }

  /** What a rule gives; when it refuses, the message says where in the pickle. */
  #told(rule: () => unknown): unknown {
    try {
      return rule();
    } catch (error) {
      if (error instanceof RefusedError) throw this.#wrong(error.message);
      throw error;
    }
  }
}

/** Thrown by rules; the reader adds the file and the place. */
export class RefusedError extends Error {}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}
