// Files of weights whatever their names say.
import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { bytesOf, joinPath, readBytes } from "../../src/io/byte_source.ts";
import { openWeightsFile } from "../../src/io/open_weights_file.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { writeZip } from "../../src/io/zip_writer.ts";
import { ascii, concat, golden, oneTensor } from "./_weights_files.ts";

const FILES: Record<string, [path: string, tensor: string]> = {
  "safetensors": ["torch/strides.safetensors", "whole"],
  "a torch zip archive": ["torch/strides.pth", "transposed"],
  "a legacy torch file": ["torch/strides_legacy4.pth", "columns"],
  "GGUF": ["gguf/blocks.gguf", "q6_k"],
  "npz": ["numpy/arrays_compressed.npz", "fortran"],
  "npy": ["numpy/version2.npy", "arr_0"],
};

for (const [format, [path, tensor]] of Object.entries(FILES)) {
  Deno.test(`openWeightsFile() knows ${format} by its content`, async () => {
    using weights = await openWeightsFile(golden(path));
    assert.ok((await readFloats(weights, tensor)).length > 0);
    using same = await openWeightsFile(bytesOf("named.txt", await readBytes(golden(path))));
    assert.deepEqual(same.names(), weights.names());
  });
}

Deno.test("openWeightsFile() passes its options on, and opens shards of any format", async () => {
  using averaged = await openWeightsFile(golden("torch/nested.pth"), { ema: true });
  assert.equal(averaged.metadata.state_dict, "state_dict_ema");
  const folder = await Deno.makeTempDir();
  try {
    const index = { weight_map: { w: "1.bin", x: "2.safetensors" } };
    await Deno.writeFile(joinPath(folder, "1.bin"), oneTensor(Float32Array.of(1)));
    const x = { dtype: "F32" as const, shape: [1], data: Float32Array.of(2) };
    await Deno.writeFile(joinPath(folder, "2.safetensors"), encodeSafetensors({ x }));
    await Deno.writeTextFile(joinPath(folder, "m.bin.index.json"), JSON.stringify(index));
    using shards = await openWeightsFile(joinPath(folder, "m.bin.index.json"));
    assert.deepEqual(shards.names(), ["w", "x"]);
    assert.deepEqual([...await readFloats(shards, "x")], [2]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const UNKNOWN: Record<string, [file: Uint8Array<ArrayBuffer>, says: RegExp]> = {
  "nothing": [new Uint8Array(0), /begins with nothing/],
  "a page of HTML": [ascii("<!DOCTYPE html><html></html>"), /begins with 3c 21 44/],
  "a pointer of Git LFS": [ascii("version https://git-lfs.github.com/spec/v1"), /begins with 76 65/],
  "an archive of pictures": [writeZip([["a.png", new Uint8Array(4)]]), /zip archive of "a\.png"/],
  "an empty archive": [writeZip([]), /zip archive of nothing/],
  "a header of 2^40 bytes": [concat([0, 0, 0, 0, 0, 1, 0, 0], "{}"), /begins with 00 00/],
};

for (const [kind, [file, says]] of Object.entries(UNKNOWN)) {
  Deno.test(`openWeightsFile() refuses ${kind}, and lists the formats`, async () => {
    await assert.rejects(openWeightsFile(bytesOf("what.bin", file)), (error) => {
      assert.ok(error instanceof WeightsError, String(error));
      assert.match(error.message, says);
      assert.match(error.message, /none of safetensors, a torch zip archive, a legacy torch pickle, GGUF, npz, npy$/);
      return true;
    });
  });
}
