// Files that are written piece by piece: they must read back as they went in, and be the same every time.

import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { castWeights } from "../../src/io/cast_weights.ts";
import { openWeights } from "../../src/io/checkpoint_folder.ts";
import { writeGguf } from "../../src/io/gguf_writer.ts";
import { openWeightsFile } from "../../src/io/open_weights_file.ts";
import { type OutputFile, writeFileWhole } from "../../src/io/output_file.ts";
import { encodeSafetensors, openSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import { writeSafetensors, writeSafetensorsFolder } from "../../src/io/safetensors_writer.ts";
import { streamTensor } from "../../src/io/tensor_stream.ts";
import { writeTorchFile } from "../../src/io/torch_writer.ts";
import type { WeightSource } from "../../src/io/weights.ts";
import { ZipReader } from "../../src/io/zip_reader.ts";
import { openBytes } from "../../src/io/byte_source.ts";
import { crc32 } from "../../src/io/crc32.ts";
import { assertSameBytes, counting, equal, golden, inMemory } from "../_weights.ts";
import { namesIn, temporaryFolder } from "../_temporary_folder.ts";

type Write = (file: OutputFile, source: WeightSource) => Promise<void>;

async function written(write: Write, source: WeightSource, path: string): Promise<Uint8Array> {
  await writeFileWhole(path, { overwrite: true }, (file) => write(file, source));
  return await Deno.readFile(path);
}

const MIXED: Record<string, TensorData> = {
  b: counting([3, 5]),
  a: { dtype: "F16", shape: [2, 2], data: Uint16Array.of(1, 2, 3, 4) },
  c: { dtype: "BF16", shape: [1], data: Uint16Array.of(5) },
  d: { dtype: "I64", shape: [2], data: BigInt64Array.of(-1n, 2n) },
  scalar: counting([], 7),
  empty: counting([0, 4]),
};

const WRITERS: Record<string, Write> = {
  safetensors: writeSafetensors,
  torch: writeTorchFile,
  gguf: (file, source) => writeGguf(file, source, { "general.architecture": "pixart", count: 3, half: 0.5, yes: true }),
};

for (const [format, write] of Object.entries(WRITERS)) {
  Deno.test(`the ${format} writer writes what is read back, the same bytes every time`, async () => {
    using folder = temporaryFolder();
    using source = await inMemory(MIXED);
    const path = joinPath(folder.path, "file");
    const first = await written(write, source, path);
    using back = await openWeightsFile(path);
    await assertSameBytes(back, source);
    assert.ok(equal(await written(write, source, joinPath(folder.path, "again")), first));
  });
}

Deno.test("writeSafetensors() writes the bytes of encodeSafetensors(), also of tensors larger than a piece", async () => {
  using folder = temporaryFolder();
  const tensors = { ...MIXED, large: counting([6 * 2 ** 20]) };
  using source = await inMemory(tensors);
  const file = await written(writeSafetensors, source, joinPath(folder.path, "file"));
  assert.ok(equal(file, encodeSafetensors(tensors, { format: "pt" })));
});

Deno.test("writeTorchFile() aligns storages to 64 bytes and states their checksums", async () => {
  using folder = temporaryFolder();
  using source = await openSafetensors(golden("t5/model.safetensors"));
  const path = joinPath(folder.path, "file.pth");
  const file = await written(writeTorchFile, source, path);
  using bytes = await openBytes(path);
  const zip = await ZipReader.open(bytes, (state) => new WeightsError(state));
  for (const member of zip.members.values()) {
    const data = await zip.reader(member)(0, member.size);
    assert.equal(crc32(data), member.crc);
    const header = new DataView(file.buffer, member.headerOffset);
    const start = member.headerOffset + 30 + header.getUint16(26, true) + header.getUint16(28, true);
    assert.equal(start % 64, 0, member.name);
    assert.equal(header.getUint32(14, true), member.crc);
  }
});

Deno.test("writeSafetensorsFolder() cuts shards that openWeights() reads", async () => {
  using folder = temporaryFolder();
  using source = await openSafetensors(golden("t5/model.safetensors"));
  const files = await writeSafetensorsFolder(folder.path, "model", source, { shardBytes: 100_000 });
  assert.deepEqual(files, [
    ...["1", "2", "3", "4"].map((i) => `model-0000${i}-of-00004.safetensors`),
    "model.safetensors.index.json",
  ]);
  assert.deepEqual(namesIn(folder.path), files);
  using back = await openWeights(folder.path, "model");
  await assertSameBytes(back, source);
  const index = JSON.parse(await Deno.readTextFile(joinPath(folder.path, files[4])));
  assert.equal(index.metadata.total_size, source.names().reduce((sum, name) => sum + source.info(name).byteLength, 0));
});

Deno.test("the writers refuse dtypes that their format does not have", async () => {
  using folder = temporaryFolder();
  using source = await inMemory({ w: counting([2, 32]) });
  const blocks = castWeights(source, () => "Q8_0");
  for (const write of [writeSafetensors, writeTorchFile]) {
    await assert.rejects(written(write, blocks, joinPath(folder.path, "file")), /"w" Q8_0 \[2, 32\].*write GGUF/);
  }
  using deep = await inMemory({ w: counting([1, 1, 1, 1, 2]) });
  await assert.rejects(written(WRITERS.gguf, deep, joinPath(folder.path, "file")), /up to 4 axes/);
  assert.deepEqual(namesIn(folder.path), []);
});

Deno.test("the writers stop at an abort and leave nothing", async () => {
  using folder = temporaryFolder();
  using source = await inMemory({ a: counting([4]), b: counting([4]) });
  const controller = new AbortController();
  const stopped = writeFileWhole(
    joinPath(folder.path, "file"),
    {},
    (file) =>
      writeSafetensors(file, source, {
        signal: controller.signal,
        onBytes: () => controller.abort(new Error("enough")),
      }),
  );
  await assert.rejects(stopped, /enough/);
  assert.deepEqual(namesIn(folder.path), []);
});

Deno.test("streamTensor() reads ahead, and fails with what failed", async () => {
  using source = await inMemory({ large: counting([6 * 2 ** 20]) });
  const pieces: Uint8Array[] = [];
  let isWriting = false;
  await streamTensor(source, "large", {}, async (bytes) => {
    assert.equal(isWriting, false);
    isWriting = true;
    await new Promise((resolve) => setTimeout(resolve, 1));
    pieces.push(bytes.slice());
    isWriting = false;
  });
  assert.ok(pieces.length > 2);
  assert.ok(equal(await source.read("large"), new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer())));
  let calls = 0;
  const failing = streamTensor(source, "large", {}, async () => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (++calls === 2) throw new Error("the disk is full");
  });
  await assert.rejects(failing, /the disk is full/);
  assert.equal(calls, 2);
});
