// A whole pipeline of PixArt-α: the embedded model under the other class, which changes nothing but names for captions this short.

import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { joinPath } from "../../src/io/byte_source.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { device } from "../_device.ts";
import { assertVerifies, FolderCopy, golden } from "./_folders.ts";

Deno.test("verifyFolder() makes the pictures of an α pipeline", async () => {
  using folder = await FolderCopy.of(golden("pipeline-tiny"));
  const checkpoint = joinPath(folder.path, "alpha"), model = fileURLToPath(DEFAULT_MODEL);
  await Deno.mkdir(checkpoint);
  for await (const { name, isDirectory } of Deno.readDir(model)) {
    if (isDirectory) await Deno.symlink(joinPath(model, name), joinPath(checkpoint, name));
  }
  const read = async (path: string) => JSON.parse(await Deno.readTextFile(path));
  const index = { ...await read(joinPath(model, "model_index.json")), _class_name: "PixArtAlphaPipeline" };
  await Deno.writeTextFile(joinPath(checkpoint, "model_index.json"), JSON.stringify(index));
  const path = joinPath(folder.path, "index.json"), calls = await read(path);
  const cases = [calls.cases[1]];
  await Deno.writeTextFile(path, JSON.stringify({ ...calls, checkpoint: "alpha", cases }));
  const report = await assertVerifies(folder.path, { device });
  assert.equal(report.component, "PixArtAlphaPipeline");
  assert.deepEqual(report.outputs.map(({ name }) => name), ["case-1/out.image", "case-1/out.latents"]);
});
