// Text to image as a whole against diffusers' pictures.

import assert from "node:assert/strict";
import { joinPath, readJson } from "../../src/io/byte_source.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { device } from "../_device.ts";
import { assertVerifies, floats, FolderCopy, golden } from "../verify/_folders.ts";

const FOLDER = golden("pipeline-tiny");
const CHECKPOINT = golden("../../weights/emoji-64");

Deno.test("PixArtSigmaPipeline.generate() makes the latents and pictures of diffusers for every recorded call", async () => {
  const { component, tolerance, outputs } = await assertVerifies(FOLDER, { device });
  assert.deepEqual([component, tolerance], ["PixArtSigmaPipeline", 1e-3]);
  const { cases } = await readJson(joinPath(FOLDER, "index.json")) as { cases: unknown[] };
  assert.equal(outputs.length, 2 * cases.length);
});

/** A copy with some of the calls, changed by `work`. */
async function withCases(numbers: number[], work: (cases: Record<string, unknown>[]) => void) {
  const copy = await FolderCopy.of(FOLDER);
  const path = joinPath(copy.path, "index.json");
  const { cases } = await readJson(path) as { cases: Record<string, unknown>[] };
  const kept = numbers.map((number) => cases[number]);
  work(kept);
  const link = joinPath(copy.path, "checkpoint");
  await Deno.symlink(CHECKPOINT, link);
  await Deno.writeTextFile(path, JSON.stringify({ checkpoint: "checkpoint", cases: kept }));
  return copy;
}

Deno.test("verifyFolder() fails a call with another seed, another image, or an argument that is not implemented", async () => {
  using copy = await withCases([6, 6, 6], (cases) => {
    cases[0] = { ...cases[0], seed: 2, num_inference_steps: 2 };
    cases[1] = { ...cases[1], file: "case-4.safetensors", controlnet: 1 };
  });
  await copy.change("case-6.safetensors", (tensors) => floats(tensors["out.image"])[9] += 1);
  const { ok, outputs } = await verifyFolder(copy.path, { device });
  assert.equal(ok, false);
  assert.deepEqual(outputs.map((row) => [row.name, row.ok]), [
    ["case-6/out.image", false],
    ["case-6/out.latents", false],
    ["case-4/out.image", false],
    ["case-4/out.latents", false],
    ["case-6/out.image", false],
    ["case-6/out.latents", true],
  ]);
  assert.equal(outputs[2].note, "not implemented: controlnet");
});

Deno.test("verifyFolder() runs a checkpoint of PixArt-α by its own pipeline", async () => {
  using copy = await withCases([6], () => {});
  const checkpoint = joinPath(copy.path, "checkpoint");
  await Deno.remove(checkpoint);
  await Deno.mkdir(checkpoint);
  for await (const { name, isDirectory } of Deno.readDir(CHECKPOINT)) {
    if (isDirectory) await Deno.symlink(joinPath(CHECKPOINT, name), joinPath(checkpoint, name));
  }
  const index = await readJson(joinPath(CHECKPOINT, "model_index.json")) as Record<string, unknown>;
  const alpha = { ...index, _class_name: "PixArtAlphaPipeline" };
  await Deno.writeTextFile(joinPath(checkpoint, "model_index.json"), JSON.stringify(alpha));
  assert.equal((await assertVerifies(copy.path, { device })).component, "PixArtAlphaPipeline");
});
