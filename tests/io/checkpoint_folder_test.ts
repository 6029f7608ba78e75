// Folders of weights: one file, shards, and indices that lie.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf, joinPath } from "../../src/io/byte_source.ts";
import { openWeights } from "../../src/io/checkpoint_folder.ts";
import { encodeSafetensors, openSafetensors } from "../../src/io/safetensors.ts";
import { NameChecker, readFloats } from "../../src/io/weights.ts";
import { oneTensor } from "./_weights_files.ts";

const floats = (...values: number[]) => ({
  dtype: "F32" as const,
  shape: [values.length],
  data: Float32Array.from(values),
});

const first = encodeSafetensors({ a: floats(1), b: floats(2, 3) }, { format: "pt" });
const second = encodeSafetensors({ c: floats(4) });
const index = (map: unknown) =>
  new TextEncoder().encode(JSON.stringify({ metadata: { total_size: 16 }, weight_map: map }));

async function withFiles(files: Record<string, Uint8Array>, use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, bytes] of Object.entries(files)) await Deno.writeFile(joinPath(folder, name), bytes);
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("openWeights() opens one file", () =>
  withFiles({ "model.safetensors": first }, async (folder) => {
    using weights = await openWeights(folder, "model");
    assert.deepEqual([...await readFloats(weights, "b")], [2, 3]);
  }));

Deno.test("openWeights() opens shards through their index, from a path and a URL", () => {
  const map = { c: "m-2.safetensors", a: "m-1.safetensors", b: "m-1.safetensors" };
  const files = { "m-1.safetensors": first, "m-2.safetensors": second, "model.safetensors.index.json": index(map) };
  return withFiles(files, async (folder) => {
    for (const address of [folder, new URL(`file://${folder}`)]) {
      using weights = await openWeights(address, "model");
      assert.deepEqual(weights.names(), ["a", "b", "c"]);
      assert.deepEqual([...await readFloats(weights, "c")], [4]);
      const memory = new Uint8Array(16);
      assert.equal((await weights.read("b", 4, 8, memory)).buffer, memory.buffer);
      assert.equal(new DataView(memory.buffer).getFloat32(0, true), 3);
      assert.deepEqual(weights.info("b"), { name: "b", dtype: "F32", shape: [2], byteLength: 8 });
      assert.equal(weights.metadata.format, "pt");
      assert.throws(() => weights.info("d"), WeightsError);
    }
  });
});

Deno.test("openWeights() opens a variant by its infix, single or in shards", () =>
  withFiles({
    "model.fp16.safetensors": second,
    "net.fp16-00001-of-00001.safetensors": second,
    "net.safetensors.index.fp16.json": index({ c: "net.fp16-00001-of-00001.safetensors" }),
  }, async (folder) => {
    for (const stem of ["model", "net"]) {
      using weights = await openWeights(folder, stem, { variant: "fp16" });
      assert.deepEqual(weights.names(), ["c"]);
    }
    await assert.rejects(
      openWeights(folder, "model"),
      /neither model\.safetensors nor model\.safetensors\.index\.json/,
    );
  }));

const LIES: Record<string, [map: unknown, says: RegExp]> = {
  "a file that is not there": [{ a: "m-1.safetensors", c: "m-3.safetensors" }, /m-3\.safetensors/],
  "a tensor that its file does not hold": [{ a: "m-1.safetensors", c: "m-1.safetensors" }, /"c" is not in m-1/],
  "a file of the folder above": [{ a: "../m-1.safetensors" }, /"a".*not a file beside it/],
  "a file of the folder above, encoded": [{ a: "..%2fm-1.safetensors" }, /not a file beside it/],
  "an absolute path": [{ a: "/etc/m.safetensors" }, /not a file beside it/],
  "a path with backslashes": [{ a: "..\\m-1.safetensors" }, /not a file beside it/],
  "a URL": [{ a: "http://a.b/m.safetensors" }, /not a file beside it/],
  "a file of another kind": [{ a: "passwords.txt" }, /not a file beside it/],
  "itself": [{ a: "model.safetensors.index.json" }, /not a file beside it/],
  "a number for a file": [{ a: 1 }, /not a file beside it/],
  "no tensors": [{}, /empty/],
  "a list": [["a"], /no object weight_map/],
  "nothing": [undefined, /no object weight_map/],
};

for (const [lie, [map, says]] of Object.entries(LIES)) {
  Deno.test(`openWeights() refuses an index that names ${lie}`, () =>
    withFiles({ "m-1.safetensors": first, "model.safetensors.index.json": index(map) }, async (folder) => {
      await assert.rejects(openWeights(folder, "model"), (error) => {
        assert.ok(error instanceof WeightsError, String(error));
        assert.match(error.message, says);
        return true;
      });
    }));
}

Deno.test("openWeights() refuses an index that names a tensor twice or is not JSON", async () => {
  for (const text of ['{"weight_map":{"a":"m-1.safetensors","a":"m-1.safetensors"}}', "{", "null"]) {
    const files = { "m-1.safetensors": first, "model.safetensors.index.json": new TextEncoder().encode(text) };
    await withFiles(files, (folder) => assert.rejects(openWeights(folder, "model"), WeightsError));
  }
});

Deno.test("NameChecker.finish() is silent when every name was asked for, and ignores what it may", async () => {
  using weights = new NameChecker(await openSafetensors(bytesOf("file", first)), "a model");
  assert.equal(weights.expect("a", [1]), true);
  assert.throws(() => weights.finish(), /1 left over: b/);
  weights.finish([/^b$/]);
  await weights.read("b");
  weights.finish();
});

Deno.test("NameChecker.finish() names what is missing, misshapen and left over at once, eight of each", async () => {
  const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`left.${i + 10}`, floats(i)]));
  using weights = new NameChecker(await openSafetensors(bytesOf("file", encodeSafetensors(many))), "a model");
  for (let i = 0; i < 30; i++) assert.equal(weights.expect(`gone.${i + 10}`), false);
  weights.expect("left.10", [1, 1]);
  assert.throws(() => weights.finish(), (error) => {
    assert.ok(error instanceof WeightsError);
    assert.match(error.message, /^Cannot load a model from file as the names must match: /);
    assert.match(error.message, /30 missing: gone\.10, .*gone\.17, and 22 more/);
    assert.match(error.message, /1 of another shape: left\.10 is \[1\] and must be \[1, 1\]/);
    assert.match(error.message, /19 left over: left\.11, .*left\.18, and 11 more/);
    return true;
  });
});

const torchFile = (value: number) => oneTensor(Float32Array.of(value));

Deno.test("openWeights() takes torch's files when there is no safetensors file, and prefers those that are there", async () => {
  const cases: [files: Record<string, Uint8Array>, stem: string, variant: string | undefined, value: number][] = [
    [{ "model.bin": torchFile(1) }, "model", undefined, 1],
    [{ "pytorch_model.bin": torchFile(2) }, "model", undefined, 2],
    [{ "diffusion_pytorch_model.bin": torchFile(3) }, "diffusion_pytorch_model", undefined, 3],
    [
      { "pytorch_model.bin": torchFile(4), "model.safetensors": encodeSafetensors({ w: floats(5) }) },
      "model",
      undefined,
      5,
    ],
    [{ "pytorch_model.fp16.bin": torchFile(6) }, "model", "fp16", 6],
    [{ "pytorch_model.bin.index.json": index({ w: "part-1.bin" }), "part-1.bin": torchFile(7) }, "model", undefined, 7],
    [
      { "pytorch_model.bin.index.fp16.json": index({ w: "part-1.bin" }), "part-1.bin": torchFile(8) },
      "model",
      "fp16",
      8,
    ],
    // What a file is, its content tells.
    [{ "model.bin": encodeSafetensors({ w: floats(9) }) }, "model", undefined, 9],
  ];
  for (const [files, stem, variant, value] of cases) {
    await withFiles(files, async (folder) => {
      using weights = await openWeights(folder, stem, { variant });
      assert.deepEqual([...await readFloats(weights, "w")], [value]);
    });
  }
});
