// Views of checkpoints under other names: the original's, latent diffusion's, diffusers' of before, ggml's.

import assert from "node:assert/strict";
import { castWeights } from "../../src/io/cast_weights.ts";
import { MappedWeights, wholeTensor } from "../../src/io/mapped_weights.ts";
import { asDiffusers, asOriginal, isOriginal } from "../../src/io/original_names.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { asT5Gguf } from "../../src/io/t5_gguf_names.ts";
import { mapT5Names } from "../../src/io/t5_names.ts";
import { mapVaeNames } from "../../src/io/vae_names.ts";
import type { WeightSource } from "../../src/io/weights.ts";
import { assertSameBytes, counting, golden, inMemory, renamed } from "../_weights.ts";

const open = (folder: string, stem = "diffusion_pytorch_model") =>
  openSafetensors(golden(`${folder}/${stem}.safetensors`));

Deno.test("asOriginal() and asDiffusers() undo each other", async () => {
  for (const folder of ["dit-sigma", "dit-alpha-micro"]) {
    using source = await open(folder);
    const original = asOriginal(source);
    assert.ok(isOriginal(original) && !isOriginal(source));
    assert.deepEqual(original.info("blocks.1.attn.qkv.weight").shape, [288, 96]);
    assert.deepEqual(original.info("blocks.1.cross_attn.kv_linear.bias").shape, [192]);
    await assertSameBytes(asDiffusers(original), source);
  }
});

Deno.test("asDiffusers() drops the original's buffers and reads what has a prefix", async () => {
  using source = await open("dit-sigma");
  const prefixed = renamed(asOriginal(source), (name) => `module.${name}`);
  await assertSameBytes(asDiffusers(prefixed), source);
  using buffers = await inMemory({
    "x_embedder.proj.weight": counting([2, 1, 1, 1]),
    "pos_embed": counting([1, 4, 2]),
    "y_embedder.y_embedding": counting([2, 2]),
    "blocks.0.attn.q_norm.weight": counting([2]),
  });
  assert.deepEqual(asDiffusers(buffers).names(), ["pos_embed.proj.weight", "transformer_blocks.0.attn1.q_norm.weight"]);
});

Deno.test("asOriginal() refuses strange names, and parts that are missing or differ", async () => {
  using source = await open("dit-sigma");
  const missing = renamed(source, (name) => name === "transformer_blocks.2.attn1.to_k.bias" ? undefined : name);
  assert.throws(
    () => asOriginal(missing),
    /Cannot join blocks\.2\.attn\.qkv\.bias.*no transformer_blocks\.2\.attn1\.to_k\.bias/,
  );
  const strange = renamed(source, (name) => name === "proj_out.bias" ? "proj_in.bias" : name);
  assert.throws(() => asOriginal(strange), /Cannot name proj_in\.bias/);
  const mixed = castWeights(source, ({ name }) => name.endsWith("attn2.to_v.weight") ? "F16" : "F32");
  assert.throws(() => asOriginal(mixed), /Cannot join .*attn2\.to_k\.weight.*F32 \[96, 96\], F16 \[96, 96\]/);
});

/** Diffusers' names as latent diffusion has them, written independently of the mapping under test. */
function latentDiffusionName(name: string): string {
  const level = (text: string) => String(3 - Number(text));
  return `first_stage_model.${name}`
    .replace(/decoder\.up_blocks\.(\d)\.resnets\.(\d)/, (_, i, j) => `decoder.up.${level(i)}.block.${j}`)
    .replace(/decoder\.up_blocks\.(\d)\.upsamplers\.0/, (_, i) => `decoder.up.${level(i)}.upsample`)
    .replace(/encoder\.down_blocks\.(\d)\.resnets\.(\d)/, "encoder.down.$1.block.$2")
    .replace(/encoder\.down_blocks\.(\d)\.downsamplers\.0/, "encoder.down.$1.downsample")
    .replace("mid_block.resnets.0", "mid.block_1").replace("mid_block.resnets.1", "mid.block_2")
    .replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
    .replace("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out")
    .replace(/mid_block\.attentions\.0\.to_(q|k|v)/, "mid.attn_1.$1")
    .replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut");
}

const OLD: Record<string, string> = { "to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn" };

/** The attention's linear layers as the 1x1 convolutions that they were. */
function withConvolutions(source: WeightSource): WeightSource {
  const isLinear = (name: string) =>
    /(attn_1\.(q|k|v|proj_out)|attentions\.0\.(query|key|value|proj_attn))\.weight$/.test(name);
  return new MappedWeights(
    source,
    new Map(
      source.names().map((name) => {
        const { shape } = source.info(name);
        return [name, wholeTensor(source, name, isLinear(name) ? [...shape, 1, 1] : shape)];
      }),
    ),
  );
}

Deno.test("mapVaeNames() reads latent diffusion's names in a file with other networks", async () => {
  using source = await open("vae");
  const theirs = withConvolutions(renamed(source, latentDiffusionName));
  assert.equal(theirs.info("first_stage_model.decoder.mid.attn_1.proj_out.weight").shape.length, 4);
  await assertSameBytes(mapVaeNames(theirs), source);
  await assertSameBytes(mapVaeNames(source), source);
});

Deno.test("mapVaeNames() reads diffusers' names of before", async () => {
  using source = await open("vae");
  const old = renamed(
    source,
    (name) => name.replace(/(attentions\.0\.)(to_q|to_k|to_v|to_out\.0)/, (_, at, part) => at + OLD[part]),
  );
  assert.ok(old.has("decoder.mid_block.attentions.0.proj_attn.weight"));
  await assertSameBytes(mapVaeNames(old), source);
  await assertSameBytes(mapVaeNames(withConvolutions(old)), source);
});

Deno.test("mapT5Names() reads a T5 in ggml's names, with a prefix, and with its decoder", async () => {
  using source = await open("t5", "model");
  await assertSameBytes(mapT5Names(asT5Gguf(source)), source);
  const prefixed = renamed(source, (name) => `text_encoders.t5xxl.transformer.${name}`);
  await assertSameBytes(mapT5Names(prefixed), source);
  const norm = "encoder.final_layer_norm.weight";
  const whole = new MappedWeights(
    source,
    new Map([
      ...source.names().map((name) => [name, wholeTensor(source, name)] as const),
      ["decoder.final_layer_norm.weight", wholeTensor(source, norm)],
      ["lm_head.weight", wholeTensor(source, norm)],
    ]),
  );
  await assertSameBytes(mapT5Names(whole), source);
});
