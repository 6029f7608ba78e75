// Verification of what needs no GPU: random numbers, tokens, captions. That it passes, and that it fails when it should.

import assert from "node:assert/strict";
import { joinPath, readJson } from "../../src/io/byte_source.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { assertVerifies, floats, FolderCopy, golden } from "./_folders.ts";

Deno.test("verifyFolder() passes PyTorch's random numbers bit for bit, the tokenizer and the captions", async () => {
  const { component, outputs } = await assertVerifies(golden("rng"), { tolerance: 0 });
  assert.deepEqual([component, outputs.length], ["Generator", 45]);
  const texts = await readJson(joinPath(golden("tokenizer"), "t5.json")) as unknown[];
  assert.equal((await assertVerifies(golden("tokenizer"), {})).outputs.length, texts.length);
  const captions = await readJson(joinPath(golden("captions"), "captions.json")) as unknown[];
  assert.equal((await assertVerifies(golden("captions"), {})).outputs.length, 2 * captions.length);
});

Deno.test("verifyFolder() fails the draw that was changed and the one that it does not know, and no other", async () => {
  using copy = await FolderCopy.of(golden("rng"));
  await copy.change("io.safetensors", (tensors) => {
    floats(tensors["randn.seed0.17"])[3] += 0.1;
    tensors["randperm50.seed42"].data[0] ^= 1;
    tensors["randn.unknown"] = tensors["rand.seed0"];
  });
  const { ok, outputs } = await verifyFolder(copy.path);
  assert.equal(ok, false);
  const failed = outputs.filter((row) => !row.ok);
  assert.deepEqual(failed.map(({ name }) => name), ["randn.seed0.17", "randperm50.seed42", "randn.unknown"]);
  assert.ok(Math.abs(failed[0].maxAbsError - 0.1) < 1e-6);
  assert.equal(failed[1].maxAbsError, 1);
  assert.deepEqual([failed[2].maxAbsError, failed[2].note], [NaN, "no such draw is known"]);
});

Deno.test("verifyFolder() fails a text whose tokens or cleaned caption differ", async () => {
  using tokenizer = await FolderCopy.of(golden("tokenizer"));
  const texts = [{ text: "a cat", expected: [3, 9, 1712, 1] }, { text: "a cat", expected: [3, 9, 1712] }];
  await Deno.writeTextFile(joinPath(tokenizer.path, "t5.json"), JSON.stringify(texts));
  const report = await verifyFolder(tokenizer.path);
  assert.deepEqual(report.outputs.map(({ ok, maxAbsError }) => [ok, maxAbsError]), [[true, 0], [false, 1]]);
  using captions = await FolderCopy.of(golden("captions"));
  const wrong = [{ caption: "A cat", cleaned: "a dog", plain: "a cat" }];
  await Deno.writeTextFile(joinPath(captions.path, "captions.json"), JSON.stringify(wrong));
  const { outputs, ok } = await verifyFolder(captions.path);
  assert.deepEqual([ok, ...outputs.map((row) => row.ok)], [false, false, true]);
  assert.equal(outputs[0].note, '"a cat", in the reference "a dog"');
});

Deno.test("verifyFolder() tells its progress and stops when it is aborted", async () => {
  const told: string[] = [];
  await verifyFolder(golden("captions"), { onProgress: (text) => told.push(text) });
  assert.equal(told[0], "cleaning caption 1 of 23");
  const controller = new AbortController();
  const run = verifyFolder(golden("captions"), {
    signal: controller.signal,
    onProgress: () => controller.abort(new Error("enough")),
  });
  await assert.rejects(run, { message: "enough" });
});
