// Random damage for files, the same for the same seed. In: sound bytes. Out: bytes that a reader must refuse or read, in time,
// in bounds and with an error of this library.
import assert from "node:assert/strict";
import { PixArtError } from "../src/errors.ts";
import { Generator } from "../src/random/generator.ts";

/** Damaged files of each format: PIXART_FUZZ from the environment. */
export const COUNT = Number(Deno.env.get("PIXART_FUZZ") ?? 200);
const LONGEST_MS = 5000;
const MOST_BYTES = 256 * 2 ** 20;

/** Draws whole numbers below a bound. */
export type Draw = (below: number) => number;

/** Draws by a seed. */
export function drawer(seed: number): Draw {
  const generator = new Generator(seed);
  return (below) => generator.randint(0, below, 1)[0];
}

/** Values that sizes and offsets go wrong at. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

const DAMAGES: ((file: Uint8Array<ArrayBuffer>, draw: Draw) => Uint8Array<ArrayBuffer>)[] = [
  function flipBits(file, draw) {
    for (let i = draw(8); i >= 0; i--) file[draw(file.length)] ^= 1 << draw(8);
    return file;
  },
  function setBytes(file, draw) {
    for (let i = draw(4); i >= 0; i--) file[draw(file.length)] = draw(256);
    return file;
  },
  function setNumber(file, draw) {
    const view = new DataView(file.buffer);
    const edge = EDGES[draw(EDGES.length)];
    const wide = draw(2) === 1;
    const at = draw(file.length - 8);
    view.setUint32(at, edge, true);
    if (wide) view.setUint32(at + 4, draw(2) === 1 ? edge : 0, true);
    return file;
  },
  function cutOff(file, draw) {
    return file.slice(0, draw(file.length));
  },
  function takeOut(file, draw) {
    const from = draw(file.length);
    const to = Math.min(file.length, from + 1 + draw(64));
    return Uint8Array.from([...file.subarray(0, from), ...file.subarray(to)]);
  },
  function putIn(file, draw) {
    const at = draw(file.length);
    const more = Uint8Array.from({ length: 1 + draw(64) }, () => draw(256));
    return Uint8Array.from([...file.subarray(0, at), ...more, ...file.subarray(at)]);
  },
  function copyOver(file, draw) {
    const length = 1 + draw(64);
    file.copyWithin(draw(file.length), draw(file.length), draw(file.length) + length);
    return file;
  },
  function clear(file, draw) {
    const at = draw(file.length);
    file.fill(draw(2) * 255, at, at + 1 + draw(200));
    return file;
  },
];

/** Damages the bytes one to three times. */
export function damaged(sound: Uint8Array<ArrayBuffer>, draw: Draw): Uint8Array<ArrayBuffer> {
  let file = sound.slice();
  for (let i = draw(3); i >= 0 && file.length > 8; i--) file = DAMAGES[draw(DAMAGES.length)](file.slice(), draw);
  return file;
}

/**
 * Reads files with damage, and fails when one is neither read nor refused by an error of this library in bounded time and memory.
 *
 * @param make Makes a damaged file.
 * @param use Reads the file; `name` is what its errors must mention.
 * @param mustVary Whether some files must be read and some refused.
 */
export async function fuzz(
  what: string,
  make: (draw: Draw) => Uint8Array<ArrayBuffer>,
  use: (file: Uint8Array<ArrayBuffer>, name: string, draw: Draw) => Promise<void> | void,
  { mustVary = true, kind = PixArtError as new () => Error, naming = true } = {},
): Promise<void> {
  let read = 0;
  for (let seed = 0; seed < COUNT; seed++) {
    const draw = drawer(seed);
    const file = make(draw);
    const name = `damaged-${seed}`;
    // Of one file: garbage of all files before it is not its own.
    const before = Deno.memoryUsage().rss;
    const start = performance.now();
    try {
      await use(file, name, draw);
      read++;
    } catch (error) {
      assert.ok(error instanceof kind, `seed ${seed} of ${what}: ${(error as Error).stack}`);
      if (naming) assert.match(error.message, new RegExp(`${name}\\b`));
      assert.ok(error.message.length < 1000, `seed ${seed} of ${what}: a message of ${error.message.length}`);
    }
    assert.ok(performance.now() - start < LONGEST_MS, `seed ${seed} of ${what} took too long`);
    assert.ok(Deno.memoryUsage().rss - before < MOST_BYTES, `seed ${seed} of ${what} took too much memory`);
  }
  if (mustVary) assert.ok(COUNT < 50 || (read > 0 && read < COUNT), `${read} of ${COUNT} were read`);
}
