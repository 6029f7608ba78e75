// What is in host memory while a network is loaded: pieces of its file, whatever the format and however large the file.

import assert from "node:assert/strict";
import { transformerTensors } from "../../src/checkpoints/random_tensors.ts";
import { RandomWeights } from "../../src/checkpoints/random_weights.ts";
import { formatOf, writeModel } from "../../src/checkpoints/write_model.ts";
import { parseTransformerConfig } from "../../src/dit/config.ts";
import { transformerConfigJson } from "../../src/dit/config_json.ts";
import { PixArtTransformer2DModel } from "../../src/dit/transformer.ts";
import { device } from "../_device.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

/** The piece of a checkpoint that is on its way to the GPU, and small tensors beside it. */
const MOST_HELD = (32 + 8) << 20;

/** Counts the memory that files are read into: each buffer once, however often it is used. */
function countingReads(): Disposable & { held: () => number; read: () => number } {
  const buffers = new Map<ArrayBufferLike, number>();
  let read = 0;
  const { readSync } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.readSync = function (this: Deno.FsFile, into: Uint8Array) {
    buffers.set(into.buffer, into.buffer.byteLength);
    const got = readSync.call(this, into as Uint8Array<ArrayBuffer>);
    read += got ?? 0;
    return got;
  };
  return {
    held: () => [...buffers.values()].reduce((sum, bytes) => sum + bytes, 0),
    read: () => read,
    [Symbol.dispose]: () => void (Deno.FsFile.prototype.readSync = readSync),
  };
}

Deno.test("a network is loaded from any format by pieces in one place of host memory", async () => {
  const config = parseTransformerConfig({
    num_attention_heads: 8,
    attention_head_dim: 72,
    cross_attention_dim: 576,
    num_layers: 3,
    sample_size: 128,
    interpolation_scale: 2,
  });
  using folder = temporaryFolder();
  for (const name of ["random.safetensors", "random.pth", "random.gguf"]) {
    const path = `${folder.path}/${name}`;
    using source = new RandomWeights("random weights", transformerTensors(config), 1, "F32");
    const model = { kind: "transformer", json: transformerConfigJson(config), transformer: config, source } as const;
    await writeModel(path, model, { format: formatOf(path) });
    const { size } = Deno.statSync(path);
    assert.ok(size > 1.5 * MOST_HELD, `${name} has ${size} bytes`);
    using reads = countingReads();
    using loaded = await PixArtTransformer2DModel.fromPretrained(path, { device, dtype: "f16" });
    assert.ok(loaded.isLoaded && reads.read() >= 0.9 * size, `${reads.read()} of ${size} bytes of ${name} were read`);
    assert.ok(reads.held() <= MOST_HELD, `${reads.held()} bytes for ${size} of ${name}`);
    Deno.removeSync(path);
  }
});
