// Weights that are not finite numbers are told by name, by whoever loads them.

import assert from "node:assert/strict";
import { NumericError } from "../../src/errors.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { device } from "../_device.ts";
import { floats, FolderCopy, golden } from "../verify/_folders.ts";
import { spoiledModel } from "./_spoiled_model.ts";

const BLOCK = "transformer_blocks.1.attn1.to_k.weight";

async function warningsOf(folder: string, options: Parameters<typeof PixArtSigmaPipeline.fromPretrained>[1] = {}) {
  const warnings: string[] = [];
  const onWarning = (text: string) => warnings.push(text);
  using _pipe = await PixArtSigmaPipeline.fromPretrained(folder, { device, onWarning, ...options });
  return warnings;
}

Deno.test("PixArtSigmaPipeline.fromPretrained() tells which weights are not finite, however they are kept", async () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    using folder = await spoiledModel("transformer", { [BLOCK]: bad });
    for (const dtype of ["f32", "f16", "int8", "int4"] as const) {
      const warnings = await warningsOf(folder.path, { dtype });
      assert.equal(warnings.length, 1, `${bad} ${dtype}: ${warnings}`);
      assert.ok(warnings[0].startsWith(`${BLOCK} of ${joinPath(folder.path, "transformer")}`), warnings[0]);
      assert.match(warnings[0], /should be finite numbers/);
    }
  }
  // What only halves cannot hold is told only where they are asked for.
  using large = await spoiledModel("transformer", { [BLOCK]: 1e5, "scale_shift_table": NaN });
  assert.match((await warningsOf(large.path, { dtype: "f16" }))[0], /^(\S+) and 1 more of /);
  assert.match((await warningsOf(large.path, { dtype: "f32" }))[0], /^scale_shift_table of /);
  assert.deepEqual(await warningsOf(golden("../../weights/emoji-64"), { dtype: "int4" }), []);
});

Deno.test("PixArtSigmaPipeline.fromPretrained() tells of the text encoder and the VAE, too", async () => {
  const wo = "encoder.block.0.layer.1.DenseReluDense.wo.weight";
  const bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight";
  using encoder = await spoiledModel("text_encoder", { [wo]: NaN });
  assert.ok((await warningsOf(encoder.path, { quantize: { textEncoder: "int4" } }))[0].startsWith(`${wo} of `));
  using biased = await spoiledModel("text_encoder", { [bias]: Infinity });
  assert.ok((await warningsOf(biased.path))[0].startsWith(`${bias} of `));
  using vae = await spoiledModel("vae", { "encoder.conv_in.weight": NaN });
  assert.ok((await warningsOf(vae.path))[0].startsWith("encoder.conv_in.weight of "));
});

Deno.test("PixArtSigmaPipeline.generate() tells when an offloaded model is read, and what came of it", async () => {
  using folder = await spoiledModel("transformer", { [BLOCK]: NaN });
  const warnings: string[] = [];
  const onWarning = (text: string) => warnings.push(text);
  using pipe = await PixArtSigmaPipeline.fromPretrained(folder.path, { device, offload: true, onWarning });
  assert.deepEqual(warnings, []);
  const run = pipe.generate("a cat", { seed: 1, numInferenceSteps: 1 });
  await assert.rejects(run, (error) => error instanceof NumericError && /latents/.test(error.message));
  assert.equal(warnings.length, 1);
});

Deno.test("verifyFolder() tells which weights of any network are not finite", async () => {
  const spoiled: [string, string, string][] = [
    ["dit-sigma", "diffusion_pytorch_model.safetensors", "caption_projection.linear_1.weight"],
    ["t5", "model.safetensors", "encoder.block.0.layer.0.SelfAttention.o.weight"],
    ["vae", "diffusion_pytorch_model.safetensors", "decoder.conv_in.weight"],
  ];
  for (const [folder, file, name] of spoiled) {
    using copy = await FolderCopy.of(golden(folder));
    await copy.change(file, (tensors) => floats(tensors[name])[7] = NaN);
    const told: string[] = [];
    const report = await verifyFolder(copy.path, { device, onWarning: (text) => told.push(text) });
    assert.deepEqual([report.ok, report.warnings.length], [false, 1], folder);
    assert.ok(told[0].startsWith(`${name} of `), told[0]);
    assert.deepEqual(told, report.warnings);
  }
});
