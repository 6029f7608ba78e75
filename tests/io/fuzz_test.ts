// Weight files with random damage: each is refused with a WeightsError, or its tensors have the size that they state and any
// part of them is that part of the whole. In: PIXART_FUZZ, the number of damaged files of each format, from the environment.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf, readBytes } from "../../src/io/byte_source.ts";
import { openWeightsFile } from "../../src/io/open_weights_file.ts";
import { bytesFor, floatsOf, type WeightSource } from "../../src/io/weights.ts";
import { ZipReader } from "../../src/io/zip_reader.ts";
import { writeZip } from "../../src/io/zip_writer.ts";
import { COUNT, damaged, type Draw, fuzz } from "../_damage.ts";
import { golden } from "./_weights_files.ts";

const FILES = [
  "torch/strides.safetensors",
  "torch/nested.pth",
  "torch/strides_legacy.pth",
  "numpy/arrays.npz",
  "numpy/arrays_compressed.npz",
  "numpy/version1.npy",
  "gguf/blocks.gguf",
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

async function readAll(file: Uint8Array<ArrayBuffer>, name: string, draw: Draw): Promise<void> {
  using source = await openWeightsFile(bytesOf(name, file));
  await check(source, draw);
}

for (const path of FILES) {
  Deno.test(`openWeightsFile() refuses or reads ${path} whatever happened to it, ${COUNT} times`, async () => {
    const sound = await readBytes(golden(path));
    await fuzz(path, (draw) => damaged(sound, draw), readAll, { kind: WeightsError });
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
    const make = (draw: Draw) => {
      const files = members.map(([name, bytes]) => [name, member.test(name) ? damaged(bytes, draw) : bytes] as const);
      return writeZip(files, { deflate: draw(2) === 1 });
    };
    await fuzz(path, make, readAll, { kind: WeightsError });
  });
}
