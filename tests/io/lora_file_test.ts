import assert from "node:assert/strict";
import { ConfigError, WeightsError } from "../../src/errors.ts";
import { type LoraFile, readLora } from "../../src/io/lora_file.ts";
import { type Floats, LoraFolder, MODULES, tensor } from "./_lora_files.ts";

const Q = "transformer_blocks.0.attn1.to_q";
const RANK = 3;

/** A LoRA for every module, as PEFT names it below `prefix`. */
function peft(prefix: string, withMagnitude = false): Floats {
  const tensors: Floats = {};
  MODULES.forEach(({ name, shape: [rows, ...inner] }, i) => {
    const isConv = inner.length > 1;
    tensors[`${prefix}${name}.lora_A.weight`] = tensor([RANK, ...inner], 3 * i + 1);
    tensors[`${prefix}${name}.lora_B.weight`] = tensor(isConv ? [rows, RANK, 1, 1] : [rows, RANK], 3 * i + 2);
    if (!withMagnitude) return;
    tensors[`${prefix}${name}.lora_magnitude_vector`] = tensor(isConv ? [1, rows, 1, 1] : [rows], 3 * i + 3);
  });
  return tensors;
}

const renamed = (tensors: Floats, rename: (name: string) => string): Floats =>
  Object.fromEntries(Object.entries(tensors).map(([name, value]) => [rename(name), value]));

/** As kohya's tools and OneTrainer write it. */
function flat(tensors: Floats, alpha?: number): Floats {
  const out = renamed(tensors, (name) => {
    const [, path, part] = /^(.*)\.(lora_.*)$/.exec(name.replace(/\.weight$/, ""))!;
    const ends: Record<string, string> = {
      lora_A: "lora_down.weight",
      lora_B: "lora_up.weight",
      lora_magnitude_vector: "dora_scale",
    };
    return `lora_transformer_${path.replaceAll(".", "_")}.${ends[part]}`;
  });
  for (const name of Object.keys(out)) {
    if (alpha !== undefined && name.endsWith("lora_down.weight")) {
      out[name.replace("lora_down.weight", "alpha")] = { shape: [], data: Float32Array.of(alpha) };
    }
  }
  return out;
}

const contents = ({ updates }: LoraFile) => [...updates].sort(([a], [b]) => a < b ? -1 : 1);

async function refuses(address: string, message: RegExp, kind: new () => Error = WeightsError): Promise<void> {
  await assert.rejects(readLora(address, MODULES), (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("readLora() reads the same LoRA from the files of every tool", async () => {
  using folder = new LoraFolder();
  for (const withMagnitude of [false, true]) {
    const own = peft("base_model.model.", withMagnitude);
    folder.write("peft/adapter_model.safetensors", own);
    folder.writeJson("peft/adapter_config.json", { peft_type: "LORA", r: RANK, lora_alpha: 6, bias: "none" });
    folder.write("diffusers/pytorch_lora_weights.safetensors", peft("transformer.", withMagnitude));
    folder.writeJson("diffusers/adapter_config.json", { lora_alpha: 6 });
    folder.write(
      "script/transformer_lora/pytorch_lora_weights.safetensors",
      peft("unet.base_model.model.", withMagnitude),
    );
    folder.writeJson("script/transformer_lora/adapter_config.json", { lora_alpha: 6 });
    const addresses = ["peft", "diffusers", "script"].map((name) => `${folder.path}/${name}`);
    addresses.push(folder.write("kohya.safetensors", flat(peft("", withMagnitude), 6)));
    const expected = await readLora(addresses[0], MODULES);
    assert.equal(expected.updates.size, MODULES.length);
    const { rank, scaling, down, up, magnitude } = expected.updates.get(Q)!;
    assert.deepEqual([rank, scaling, down.length, up.length], [RANK, 2, 8 * RANK, 8 * RANK]);
    assert.deepEqual(down, own[`base_model.model.${Q}.lora_A.weight`].data);
    assert.deepEqual(up, own[`base_model.model.${Q}.lora_B.weight`].data);
    assert.deepEqual(magnitude, own[`base_model.model.${Q}.lora_magnitude_vector`]?.data);
    for (const address of addresses.slice(1)) {
      assert.deepEqual(contents(await readLora(address, MODULES)), contents(expected), address);
    }
  }
});

Deno.test("readLora() cuts a fused projection of the original's names into its modules", async () => {
  using folder = new LoraFolder();
  const down = tensor([RANK, 8], 1), up = tensor([24, RANK], 2), lengths = tensor([24, 1], 3);
  const below = tensor([2 * RANK, 8], 4), kv = tensor([16, RANK], 5);
  const { updates } = await readLora(
    folder.write("fused.safetensors", {
      "lora_unet_blocks_0_attn_qkv.lora_down.weight": down,
      "lora_unet_blocks_0_attn_qkv.lora_up.weight": up,
      "lora_unet_blocks_0_attn_qkv.alpha": { shape: [1], data: Float32Array.of(1.5) },
      "lora_unet_blocks_0_attn_qkv.dora_scale": lengths,
      // The ways down of keys and values one below the other, as tools make them that fuse what was trained apart.
      "diffusion_model.blocks.0.cross_attn.kv_linear.lora_A.weight": below,
      "diffusion_model.blocks.0.cross_attn.kv_linear.lora_B.weight": kv,
    }),
    MODULES,
  );
  ["to_q", "to_k", "to_v"].forEach((name, part) => {
    assert.deepEqual(updates.get(`transformer_blocks.0.attn1.${name}`), {
      rank: RANK,
      scaling: 0.5,
      down: down.data,
      up: up.data.slice(part * 8 * RANK, (part + 1) * 8 * RANK),
      magnitude: lengths.data.slice(part * 8, (part + 1) * 8),
    });
  });
  ["to_k", "to_v"].forEach((name, part) => {
    const update = updates.get(`transformer_blocks.0.attn2.${name}`)!;
    assert.deepEqual(update.down, below.data.slice(part * 8 * RANK, (part + 1) * 8 * RANK));
    assert.deepEqual(update.up, kv.data.slice(part * 8 * RANK, (part + 1) * 8 * RANK));
    assert.equal(update.scaling, 8 / RANK);
  });
  assert.equal(updates.size, 5);
});

const one = (prefix = "transformer.", name = Q): Floats => ({
  [`${prefix}${name}.lora_A.weight`]: tensor([RANK, 8], 1),
  [`${prefix}${name}.lora_B.weight`]: tensor([8, RANK], 2),
});

const scalingOf = async (address: string) => (await readLora(address, MODULES)).updates.get(Q)!.scaling;

Deno.test("readLora() looks for alpha beside the file, in it, and else takes 8 for PEFT's names, the rank for others", async () => {
  using folder = new LoraFolder();
  const metadata = { lora_adapter_metadata: JSON.stringify({ "transformer.lora_alpha": 12, "transformer.r": RANK }) };
  const file = folder.write("style.safetensors", one());
  assert.equal(await scalingOf(file), 8 / RANK);
  assert.equal(await scalingOf(folder.write("flat.safetensors", flat(one("")))), 1);
  assert.equal(await scalingOf(folder.write("flat.safetensors", flat(one(""), 1.5))), 0.5);
  folder.write("style.safetensors", one(), metadata);
  assert.equal(await scalingOf(file), 4);
  folder.writeJson("adapter_config.json", { lora_alpha: 9, r: RANK });
  assert.equal(await scalingOf(file), 3);
  folder.writeJson("style.config.json", { lora_alpha: 6 });
  assert.equal(await scalingOf(file), 2);
  folder.writeJson("style.json", { description: "not a configuration" });
  assert.equal(await scalingOf(file), 2);
  folder.writeJson("style.json", { alpha: 3 });
  assert.equal(await scalingOf(file), 1);
});

Deno.test("readLora() honours rslora, and alpha and rank of single modules", async () => {
  using folder = new LoraFolder();
  const tensors = { ...one("base_model.model."), ...one("base_model.model.", Q.replace("to_q", "to_k")) };
  folder.write("adapter_model.safetensors", tensors);
  const scalings = async (config: Record<string, unknown>) => {
    folder.writeJson("adapter_config.json", config);
    const { updates } = await readLora(folder.path, MODULES);
    return [updates.get(Q)!.scaling, updates.get(Q.replace("to_q", "to_k"))!.scaling];
  };
  assert.deepEqual(await scalings({ r: RANK, use_rslora: true }), [8 / Math.sqrt(3), 8 / Math.sqrt(3)]);
  assert.deepEqual(await scalings({ lora_alpha: 6, alpha_pattern: { to_q: 3 } }), [1, 2]);
  assert.deepEqual(await scalings({ lora_alpha: 6, alpha_pattern: { "o_q": 3, [`^${Q}`]: 9 } }), [3, 2]);
  assert.deepEqual(await scalings({ r: 4, lora_alpha: 6, rank_pattern: { "attn1.to_q": 3, "to_k": 3 } }), [2, 2]);
  folder.writeJson("adapter_config.json", { r: 4, rank_pattern: { to_q: 3 } });
  await refuses(folder.path, /to_k: its rank is 3, and .*adapter_config\.json says 4$/);
});

Deno.test("readLora() leaves a text encoder's tensors aside and says so", async () => {
  using folder = new LoraFolder();
  const text = { "text_encoder.x.lora_A.weight": tensor([2, 2]), "lora_te_encoder_x.lora_up.weight": tensor([2, 2]) };
  const { updates, ignored } = await readLora(folder.write("both.safetensors", { ...one(), ...text }), MODULES);
  assert.deepEqual([updates.size, [...ignored].sort()], [1, Object.keys(text).sort()]);
  await refuses(
    folder.write("text.safetensors", text),
    /must change this model: all of its 2 tensors are for a text encoder$/,
  );
});

Deno.test("readLora() names what is no module of the model, incomplete, twice there or of another shape", async () => {
  using folder = new LoraFolder();
  const [A, B] = Object.keys(one());
  const wrong: [Floats, RegExp][] = [
    [
      { ...one(), ...one("transformer.", "transformer_blocks.7.attn1.to_q") },
      /must be modules of this model: 2 are not: .*blocks\.7\./,
    ],
    [{ ...one(), "transformer.proj_in.hada_w1_a": tensor([1]) }, /1 are not: transformer\.proj_in\.hada_w1_a$/],
    [{ [A]: one()[A] }, /attn1\.to_q: it has .*lora_A\.weight and no up$/],
    [{ [B]: one()[B] }, /it has .*lora_B\.weight and no down$/],
    [{ ...one(), ...one("base_model.model.") }, /names must differ/],
    [{ ...one(), [A]: tensor([RANK, 9]) }, /"transformer\..*lora_A\.weight" F32 \[3, 9\] must be \[3, 8\]$/],
    [{ ...one(), [A]: tensor([RANK + 1, 8]) }, /\[4, 8\] must be \[3, 8\]$/],
    [{ ...one(), [B]: tensor([9, RANK]) }, /\[9, 3\] must be \[8, rank\]$/],
    [{ ...one(), [B]: tensor([8]) }, /\[8\] must be \[8, rank\]$/],
    [{ ...one(), [A]: tensor([0, 8]), [B]: tensor([8, 0]) }, /must be \[8, rank\]$/],
    [{ ...one(), [A.replace("lora_A.weight", "lora_magnitude_vector")]: tensor([7]) }, /\[7\] must be \[8\]$/],
    [{ ...one(), [A.replace("lora_A.weight", "dora_scale")]: tensor([2, 4]) }, /\[2, 4\] must be \[8\]$/],
    [
      { ...flat(one("")), [`lora_transformer_${Q.replaceAll(".", "_")}.alpha`]: tensor([2]) },
      /must be one finite number$/,
    ],
    [{
      ...one(),
      "blocks.0.attn.qkv.lora_A.weight": tensor([RANK, 8]),
      "blocks.0.attn.qkv.lora_B.weight": tensor([24, RANK]),
    }, /attn1\.to_q is in it twice$/],
    [{}, /it is empty$/],
  ];
  for (const [tensors, message] of wrong) await refuses(folder.write("wrong.safetensors", tensors), message);
  await refuses(folder.path, /neither adapter_model nor pytorch_lora_weights/);
});

Deno.test("readLora() refuses what a configuration asks for and cannot be done", async () => {
  using folder = new LoraFolder();
  folder.write("adapter_model.safetensors", one("base_model.model."));
  const wrong: [unknown, RegExp][] = [
    [[], /not an object$/],
    [{ peft_type: "LOHA" }, /peft_type must be "LORA": "LOHA"$/],
    [{ bias: "all" }, /bias must be "none": "all"$/],
    [{ lora_bias: true }, /lora_bias must be off: true$/],
    [{ modules_to_save: ["proj_out"] }, /modules_to_save must be off/],
    [{ init_lora_weights: "pissa_niter_4" }, /init_lora_weights must be one that leaves/],
    [{ lora_alpha: "8" }, /lora_alpha must be a number/],
    [{ r: 0 }, /r must be a number from 1 on: 0$/],
    [{ alpha_pattern: { "(a+)+$": 4 } }, /plain names of modules/],
    [{ rank_pattern: { to_q: "4" } }, /an object of numbers/],
  ];
  for (const [config, message] of wrong) {
    folder.writeJson("adapter_config.json", config);
    await refuses(folder.path, message, ConfigError);
  }
  const file = folder.write("bad.safetensors", one(), { lora_adapter_metadata: "{" });
  Deno.removeSync(`${folder.path}/adapter_config.json`);
  await refuses(file, /Cannot read lora_adapter_metadata of .*bad\.safetensors as JSON/, ConfigError);
});
