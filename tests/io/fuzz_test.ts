// Weight files with random damage: each is refused with a WeightsError, or its tensors have the size that they state and any
// part of them is that part of the whole. In: PIXART_FUZZ, the number of damaged files of each format, from the environment.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf, readBytes } from "../../src/io/byte_source.ts";
import { openWeightsFile } from "../../src/io/open_weights_file.ts";
import { bytesFor, floatsOf, type WeightSource } from "../../src/io/weights.ts";
import { Generator } from "../../src/random/generator.ts";
import { ZipReader } from "../../src/io/zip_reader.ts";
import { writeZip } from "../../src/io/zip_writer.ts";
import { golden } from "./_weights_files.ts";

const COUNT = Number(Deno.env.get("PIXART_FUZZ") ?? 200);
const LONGEST_MS = 5000;
const MOST_BYTES = 256 * 2 ** 20;

const FILES = [
  "torch/strides.safetensors",
  "torch/nested.pth",
  "torch/strides_legacy.pth",
  "numpy/arrays.npz",
  "numpy/arrays_compressed.npz",
  "numpy/version1.npy",
  "gguf/blocks.gguf",
];

/** Draws whole numbers below a bound. */
type Draw = (below: number) => number;

function drawer(seed: number): Draw {
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

async function check(source: WeightSource, draw: Draw): Promise<void> {
  for (const name of source.names()) {
    const { dtype, shape, byteLength } = source.info(name);
    assert.equal(byteLength, bytesFor(dtype, shape.reduce((product, size) => product * size, 1)));
    const whole = (await source.read(name)).slice();
    assert.equal(whole.length, byteLength);
    const start = draw(byteLength + 1);
    const end = start + draw(byteLength - start + 1);
    assert.deepEqual((await source.read(name, start, end)).slice(), whole.slice(start, end));
    floatsOf(dtype, whole);
  }
}

/** Damages the bytes one to three times. */
function damaged(sound: Uint8Array<ArrayBuffer>, draw: Draw): Uint8Array<ArrayBuffer> {
  let file = sound.slice();
  for (let i = draw(3); i >= 0 && file.length > 8; i--) file = DAMAGES[draw(DAMAGES.length)](file.slice(), draw);
  return file;
}

async function fuzz(what: string, make: (draw: Draw) => Uint8Array<ArrayBuffer>): Promise<void> {
  const before = Deno.memoryUsage().rss;
  let read = 0;
  for (let seed = 0; seed < COUNT; seed++) {
    const draw = drawer(seed);
    const file = make(draw);
    const start = performance.now();
    try {
      using source = await openWeightsFile(bytesOf(`damaged-${seed}`, file));
      await check(source, draw);
      read++;
    } catch (error) {
      assert.ok(error instanceof WeightsError, `seed ${seed} of ${what}: ${(error as Error).stack}`);
      assert.match(error.message, new RegExp(`damaged-${seed}\\b`));
      assert.ok(error.message.length < 1000, `seed ${seed} of ${what}: a message of ${error.message.length}`);
    }
    assert.ok(performance.now() - start < LONGEST_MS, `seed ${seed} of ${what} took too long`);
    assert.ok(Deno.memoryUsage().rss - before < MOST_BYTES, `seed ${seed} of ${what} took too much memory`);
  }
  assert.ok(COUNT < 50 || (read > 0 && read < COUNT), `${read} of ${COUNT} were read`);
}

for (const path of FILES) {
  Deno.test(`openWeightsFile() refuses or reads ${path} whatever happened to it, ${COUNT} times`, async () => {
    const sound = await readBytes(golden(path));
    await fuzz(path, (draw) => damaged(sound, draw));
  });
}

// Damage to an archive as a whole seldom reaches what lies inside: its directory is refused before.
const INSIDE: [path: string, member: RegExp][] = [
  ["torch/nested.pth", /data\.pkl$/],
  ["torch/protocol5.pth", /data\.pkl$/],
  ["torch/strides.pth", /data\.pkl$/],
  ["numpy/arrays_compressed.npz", /^zeros\.npy$/],
];

for (const [path, member] of INSIDE) {
  Deno.test(`openWeightsFile() refuses or reads ${path} whatever happened inside, ${COUNT} times`, async () => {
    const wrong = (state: string) => new Error(state) as WeightsError;
    const zip = await ZipReader.open(bytesOf(path, await readBytes(golden(path))), wrong);
    const members: [string, Uint8Array<ArrayBuffer>][] = [];
    for (const found of zip.members.values()) members.push([found.name, await zip.reader(found)(0, found.size)]);
    await fuzz(path, (draw) => {
      const files = members.map(([name, bytes]) => [name, member.test(name) ? damaged(bytes, draw) : bytes] as const);
      return writeZip(files, { deflate: draw(2) === 1 });
    });
  });
}
