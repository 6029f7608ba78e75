// Python's pickle, protocols 2 to 5, as data. In: bytes. Out: numbers, strings, arrays (tuples are frozen), Maps for dicts, Sets.
// Names of Python's objects, calls and references to storages mean nothing here: PickleRules says what they give, or refuses.
// Nothing recurses, and steps and objects are bounded.
import { ByteCursor, type Wrong } from "./byte_cursor.ts";
import { PickleStack, RefusedError } from "./pickle_stack.ts";

/** What a pickle may speak of beyond plain data. Each gives a value, or throws a RefusedError. */
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
const LONGEST_INTEGER = 256;
const LONGEST_NAME = 1024;
const STOP = 0x2e;

type Step = (machine: PickleMachine) => void;

/** What each opcode does, by its name in Python's pickletools. */
const STEPS: Readonly<Record<number, Step>> = {
  /* PROTO */ 0x80: (m) => checkProtocol(m.cursor.u8()),
  /* FRAME */ 0x95: (m) => void m.cursor.skip(8),

  /* NONE */ 0x4e: (m) => m.stack.push(null),
  /* NEWTRUE */ 0x88: (m) => m.stack.push(true),
  /* NEWFALSE */ 0x89: (m) => m.stack.push(false),
  /* BININT */ 0x4a: (m) => m.stack.push(m.cursor.i32()),
  /* BININT1 */ 0x4b: (m) => m.stack.push(m.cursor.u8()),
  /* BININT2 */ 0x4d: (m) => m.stack.push(m.cursor.u16()),
  /* LONG1 */ 0x8a: (m) => m.stack.push(m.integer(m.cursor.u8())),
  /* LONG4 */ 0x8b: (m) => m.stack.push(m.integer(m.cursor.u32())),
  /* BINFLOAT */ 0x47: (m) => m.stack.push(m.cursor.f64(false)),

  // Python's surrogates, which UTF-8 does not have, become the replacement sign: no name of a tensor holds one.
  /* BINUNICODE */ 0x58: (m) => m.stack.push(utf8(m.cursor.take(m.cursor.u32()))),
  /* SHORT_BINUNICODE */ 0x8c: (m) => m.stack.push(utf8(m.cursor.take(m.cursor.u8()))),
  /* BINUNICODE8 */ 0x8d: (m) => m.stack.push(utf8(m.cursor.take(m.cursor.u64()))),
  /* BINSTRING */ 0x54: (m) => m.stack.push(latin1(m.cursor.take(m.cursor.u32()))),
  /* SHORT_BINSTRING */ 0x55: (m) => m.stack.push(latin1(m.cursor.take(m.cursor.u8()))),
  /* BINBYTES */ 0x42: (m) => m.stack.push(m.cursor.take(m.cursor.u32()).slice()),
  /* SHORT_BINBYTES */ 0x43: (m) => m.stack.push(m.cursor.take(m.cursor.u8()).slice()),
  /* BINBYTES8 */ 0x8e: (m) => m.stack.push(m.cursor.take(m.cursor.u64()).slice()),
  /* BYTEARRAY8 */ 0x96: (m) => m.stack.push(m.cursor.take(m.cursor.u64()).slice()),

  /* MARK */ 0x28: (m) => m.stack.mark(),
  /* POP */ 0x30: (m) => m.stack.drop(),
  /* POP_MARK */ 0x31: (m) => void m.stack.popToMark(),
  /* DUP */ 0x32: (m) => m.stack.push(m.stack.top()),
  /* EMPTY_LIST */ 0x5d: (m) => m.stack.pushObject([]),
  /* APPEND */ 0x61: (m) => m.stack.append([m.stack.pop()]),
  /* APPENDS */ 0x65: (m) => m.stack.append(m.stack.popToMark()),
  /* EMPTY_TUPLE */ 0x29: (m) => m.stack.tuple(0),
  /* TUPLE1 */ 0x85: (m) => m.stack.tuple(1),
  /* TUPLE2 */ 0x86: (m) => m.stack.tuple(2),
  /* TUPLE3 */ 0x87: (m) => m.stack.tuple(3),
  /* TUPLE */ 0x74: (m) => m.stack.pushObject(Object.freeze(m.stack.popToMark())),
  /* EMPTY_DICT */ 0x7d: (m) => m.stack.pushObject(new Map()),
  /* SETITEM */ 0x73: (m) => m.stack.setItems([m.stack.pop(), m.stack.pop()].reverse()),
  /* SETITEMS */ 0x75: (m) => m.stack.setItems(m.stack.popToMark()),
  /* EMPTY_SET */ 0x8f: (m) => m.stack.pushObject(new Set()),
  /* ADDITEMS */ 0x90: (m) => m.stack.addToSet(m.stack.popToMark()),
  /* FROZENSET */ 0x91: (m) => m.stack.pushObject(new Set(m.stack.popToMark())),

  /* BINPUT */ 0x71: (m) => m.stack.remember(m.cursor.u8()),
  /* LONG_BINPUT */ 0x72: (m) => m.stack.remember(m.cursor.u32()),
  /* MEMOIZE */ 0x94: (m) => m.stack.remember(),
  /* BINGET */ 0x68: (m) => m.stack.recall(m.cursor.u8()),
  /* LONG_BINGET */ 0x6a: (m) => m.stack.recall(m.cursor.u32()),

  /* GLOBAL */ 0x63: (m) => m.global(m.line(), m.line()),
  /* STACK_GLOBAL */ 0x93: (m) => m.global(...[m.stack.pop(), m.stack.pop()].reverse()),
  /* REDUCE */ 0x52: (m) => m.call(m.stack.pop(), m.stack.pop()),
  /* NEWOBJ */ 0x81: (m) => m.call(m.stack.pop(), m.stack.pop()),
  /* NEWOBJ_EX */ 0x92: (m) => m.callWithNames(m.stack.pop(), m.stack.pop(), m.stack.pop()),
  /* BUILD */ 0x62: (m) => m.build(m.stack.pop()),
  /* BINPERSID */ 0x51: (m) => m.stack.push(m.rules.persistent(m.stack.pop())),
};

/** Opcodes that make or fetch objects in ways that torch does not use, for the message. */
const REFUSED: Readonly<Record<number, string>> = {
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
  readonly stack: PickleStack;

  constructor(readonly cursor: ByteCursor, readonly rules: PickleRules) {
    this.stack = new PickleStack((value) => rules.swallows(value));
  }

  run(): unknown {
    let at = this.cursor.at;
    try {
      for (let steps = 0; steps < MOST_STEPS; steps++) {
        at = this.cursor.at;
        const code = this.cursor.u8();
        if (code === STOP) return this.stack.last();
        const step = STEPS[code];
        if (!step) throw unknownOpcode(code);
        step(this);
      }
    } catch (error) {
      if (error instanceof RefusedError) throw this.rules.wrong(`its pickle, at byte ${at}: ${error.message}`);
      throw error;
    }
    throw this.rules.wrong(`its pickle, at byte ${at}: it has more than ${MOST_STEPS} steps`);
  }

  /** An integer of any length in two's complement: a number where that is exact, else a bigint. */
  integer(length: number): number | bigint {
    if (length > LONGEST_INTEGER) {
      throw new RefusedError(`an integer has ${length} bytes, and ${LONGEST_INTEGER} are allowed`);
    }
    const bytes = this.cursor.take(length);
    if (length <= 6) {
      // Exact in a double; the last byte carries the sign.
      let small = length > 0 ? (bytes[length - 1] << 24) >> 24 : 0;
      for (let i = length - 2; i >= 0; i--) small = small * 256 + bytes[i];
      return small;
    }
    this.stack.countObject();
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]);
    if (bytes[length - 1] & 128) value -= 1n << BigInt(8 * length);
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  }

  /** Text up to the end of the line. */
  line(): string {
    const end = this.cursor.bytes.indexOf(10, this.cursor.at);
    const length = (end < 0 ? this.cursor.bytes.length : end) - this.cursor.at;
    if (length > LONGEST_NAME) throw new RefusedError(`it holds a name of more than ${LONGEST_NAME} bytes`);
    const text = utf8(this.cursor.take(length));
    this.cursor.skip(1);
    return text;
  }

  global(...[module, name]: unknown[]): void {
    if (typeof module !== "string" || typeof name !== "string") {
      throw new RefusedError("it names an object by no string");
    }
    this.stack.pushObject(this.rules.global(module, name));
  }

  call(args: unknown, callable: unknown): void {
    if (!Array.isArray(args)) throw new RefusedError("it calls an object with no tuple of arguments");
    this.stack.pushObject(this.rules.call(callable, args));
  }

  callWithNames(names: unknown, args: unknown, callable: unknown): void {
    if (!(names instanceof Map)) throw new RefusedError("it calls an object with no dict of named arguments");
    this.call(args, callable);
  }

  build(state: unknown): void {
    this.rules.build(this.stack.top(), state);
  }
}

function checkProtocol(version: number): void {
  if (version < 2 || version > 5) throw new RefusedError(`its protocol is ${version}, and 2 to 5 are known`);
}

function unknownOpcode(code: number): RefusedError {
  const called = REFUSED[code] ?? `0x${code.toString(16).padStart(2, "0")}`;
  return new RefusedError(`its opcode ${called} is not one of those that torch writes in protocols 2 to 5`);
}

const decoder = new TextDecoder();
const utf8 = (bytes: Uint8Array) => decoder.decode(bytes);

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}
