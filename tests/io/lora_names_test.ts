import assert from "node:assert/strict";
import { isOfTextEncoder, ModuleIndex, parseLoraName } from "../../src/io/lora_names.ts";
import { MODULES } from "./_lora_files.ts";

Deno.test("parseLoraName() takes the names of every tool apart", () => {
  const q = "transformer_blocks.0.attn1.to_q", flat = "transformer_blocks_0_attn1_to_q";
  const names: [string, string, string, boolean][] = [
    [`base_model.model.${q}.lora_A.weight`, q, "down", true],
    [`base_model.model.${q}.lora_B.default.weight`, q, "up", true],
    [`base_model.model.${q}.lora_magnitude_vector`, q, "magnitude", true],
    [`base_model.model.${q}.lora_magnitude_vector.default.weight`, q, "magnitude", true],
    [`transformer.${q}.lora_magnitude_vector.weight`, q, "magnitude", true],
    [`unet.base_model.model.${q}.lora_A.weight`, q, "down", true],
    [`transformer.${q}.lora.down.weight`, q, "down", false],
    [`${q}.lora.up.weight`, q, "up", false],
    [`transformer.${q}.lora_linear_layer.up.weight`, q, "up", false],
    ["unet.transformer_blocks.0.attn1.processor.to_out_lora.down.weight", q.replace("to_q", "to_out.0"), "down", false],
    ["transformer_blocks.0.attn1.processor.to_q_lora.up.weight", q, "up", false],
    [`lora_transformer_${flat}.lora_down.weight`, flat, "down", false],
    [`lora_transformer_${flat}.lora_up.weight`, flat, "up", false],
    [`lora_transformer_${flat}.alpha`, flat, "alpha", false],
    [`lora_transformer_${flat}.dora_scale`, flat, "magnitude", false],
    ["lora_unet_blocks_0_attn_qkv.lora_down.weight", "blocks_0_attn_qkv", "down", false],
    ["diffusion_model.blocks.0.attn.qkv.lora_A.weight", "blocks.0.attn.qkv", "down", true],
  ];
  for (const [name, path, part, isPeft] of names) assert.deepEqual(parseLoraName(name), { path, part, isPeft }, name);
});

Deno.test("parseLoraName() knows no other kinds of adapters", () => {
  for (const end of ["hada_w1_a", "lokr_w1", "lora_mid.weight", "diff", "lora_B.bias", "weight", "bias"]) {
    assert.equal(parseLoraName(`transformer.proj_out.${end}`), undefined, end);
  }
});

Deno.test("isOfTextEncoder() tells text encoders by what stands in front", () => {
  const yes = ["lora_te_encoder_block_0.alpha", "lora_te1_x.lora_up.weight", "text_encoder.encoder.lora_A.weight"];
  for (const name of [...yes, "text_encoder_2.x.lora_A.weight"]) assert.ok(isOfTextEncoder(name), name);
  for (const name of ["lora_transformer_x.alpha", "transformer.text.x"]) assert.ok(!isOfTextEncoder(name), name);
});

Deno.test("ModuleIndex.find() knows diffusers' names and the original's, with dots and underscores", () => {
  const index = new ModuleIndex(MODULES);
  const found = (path: string) => index.find(path)?.map(({ name }) => name.replace("transformer_blocks.0.", ""));
  for (const { name } of MODULES) {
    assert.deepEqual(index.find(name)?.map((module) => module.name), [name]);
    assert.deepEqual(index.find(name.replaceAll(".", "_"))?.map((module) => module.name), [name]);
  }
  for (const flat of [false, true]) {
    const path = (name: string) => flat ? name.replaceAll(".", "_") : name;
    assert.deepEqual(found(path("blocks.0.attn.qkv")), ["attn1.to_q", "attn1.to_k", "attn1.to_v"]);
    assert.deepEqual(found(path("blocks.0.cross_attn.kv_linear")), ["attn2.to_k", "attn2.to_v"]);
    assert.deepEqual(found(path("blocks.0.cross_attn.q_linear")), ["attn2.to_q"]);
    assert.deepEqual(found(path("blocks.0.mlp.fc1")), ["ff.net.0.proj"]);
    assert.deepEqual(found(path("x_embedder.proj")), ["pos_embed.proj"]);
    assert.deepEqual(found(path("t_block.1")), ["adaln_single.linear"]);
    assert.equal(found(path("blocks.1.attn.qkv")), undefined);
    assert.equal(found(path("final_layer.linear")), undefined, "the model has no such module");
  }
});
