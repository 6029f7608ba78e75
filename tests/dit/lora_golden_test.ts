// LoRA and DoRA on the transformer against PyTorch's numbers, in PEFT's layout as recorded and in those of other tools.

import assert from "node:assert/strict";
import { PixArtTransformer2DModel } from "../../src/dit/transformer.ts";
import { ConfigError, WeightsError } from "../../src/errors.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { encodeSafetensors, openSafetensors } from "../../src/io/safetensors.ts";
import type { TensorDType } from "../../src/io/weights.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { Reference } from "../../src/verify/reference.ts";
import { readInputs, runTransformer } from "../../src/verify/verify_transformer.ts";
import { device } from "../_device.ts";
import { assertVerifies, FolderCopy, golden, type Tensors } from "../verify/_folders.ts";

const PEFT = "base_model.model.";

async function tensorsOf(file: string): Promise<Tensors> {
  using source = await openSafetensors(file);
  const tensors: Tensors = {};
  for (const name of source.names()) {
    const { dtype, shape } = source.info(name);
    tensors[name] = { dtype: dtype as TensorDType, shape, data: (await source.read(name)).slice() };
  }
  return tensors;
}

/** The recorded folder with its network beside it, and its DoRA also as a LoRA and in diffusers' layout. */
async function adaptersFolder(): Promise<{ root: FolderCopy; lora: string; dora: Tensors }> {
  const root = await FolderCopy.of(golden("lora"));
  const lora = joinPath(root.path, "lora"), network = joinPath(root.path, "dit-sigma");
  const write = async (folder: string, file: string, tensors: Tensors) => {
    await Deno.mkdir(joinPath(lora, folder), { recursive: true });
    await Deno.writeFile(joinPath(lora, folder, file), encodeSafetensors(tensors));
  };
  await Deno.mkdir(network);
  for (const file of ["config.json", "diffusion_pytorch_model.safetensors"]) {
    await Deno.copyFile(joinPath(golden("dit-sigma"), file), joinPath(network, file));
  }
  const dora = await tensorsOf(joinPath(golden("lora"), "peft-dora/adapter_model.safetensors"));
  for (const kind of ["lora", "dora"]) {
    const chosen = Object.entries(dora).filter(([name]) => kind === "dora" || !name.includes("magnitude"));
    const renamed = chosen.map(([name, value]) => [name.replace(PEFT, "transformer."), value]);
    await write(`peft-${kind}`, "adapter_model.safetensors", Object.fromEntries(chosen));
    await write(`diffusers-${kind}`, "pytorch_lora_weights.safetensors", Object.fromEntries(renamed));
  }
  const config = "peft-dora/adapter_config.json";
  await Deno.copyFile(joinPath(golden("lora"), config), joinPath(lora, config));
  await Deno.rename(joinPath(root.path, "io.safetensors"), joinPath(lora, "io.safetensors"));
  return { root, lora, dora };
}

Deno.test("verifyFolder() finds LoRAs and DoRAs of all layouts equal to PyTorch's at every recorded scale", async () => {
  const { root, lora } = await adaptersFolder();
  using _root = root;
  const { component, outputs } = await assertVerifies(lora, { device });
  assert.equal(component, "LoRA");
  const scales = ["0", "0.5", "1"];
  assert.deepEqual(outputs.map(({ name }) => name), [
    "diffusers-dora/out.dora.1",
    ...scales.map((scale) => `diffusers-lora/out.lora.${scale}`),
    "peft-dora/out.dora.1",
    ...scales.map((scale) => `peft-lora/out.lora.${scale}`),
  ]);
  await assertVerifies(lora, { device, dtype: "f16" });
});

Deno.test("verifyFolder() fails adapters of which a number was changed, and outputs that no adapter has", async () => {
  const { root, lora, dora } = await adaptersFolder();
  using _root = root;
  const wrong = structuredClone(dora);
  new Float32Array(wrong[`${PEFT}proj_out.lora_magnitude_vector`].data.buffer)[3] *= 1.1;
  await Deno.writeFile(joinPath(lora, "peft-dora/adapter_model.safetensors"), encodeSafetensors(wrong));
  await Deno.remove(joinPath(lora, "peft-lora"), { recursive: true });
  await Deno.remove(joinPath(lora, "diffusers-lora"), { recursive: true });
  const { ok, outputs } = await verifyFolder(lora, { device });
  assert.equal(ok, false);
  assert.deepEqual(outputs.map((row) => [row.name, row.ok]), [
    ["diffusers-dora/out.dora.1", true],
    ["peft-dora/out.dora.1", false],
    ["out.lora.0", false],
    ["out.lora.0.5", false],
    ["out.lora.1", false],
  ]);
  await Deno.remove(joinPath(lora, "peft-dora"), { recursive: true });
  await assert.rejects(verifyFolder(lora, { device }), (error) => {
    return error instanceof ConfigError && /must say base_model_name_or_path: none does/.test(error.message);
  });
  await Deno.remove(joinPath(lora, "diffusers-dora"), { recursive: true });
  await assert.rejects(verifyFolder(lora, { device }), /folders in it must hold .*: none/);
});

/** The names of kohya and OneTrainer, with the original's fused projections where `fused` says so. */
function kohya(dora: Tensors, fused: boolean): Tensors {
  const out: Tensors = {};
  const part = { lora_A: "lora_down.weight", lora_B: "lora_up.weight" } as Record<string, string>;
  const alpha = { dtype: "F32" as const, shape: [], data: new Uint8Array(Float32Array.of(8).buffer) };
  const joined = (...pieces: Uint8Array[]) => new Uint8Array(pieces.flatMap((piece) => Array.from(piece)));
  for (const [name, value] of Object.entries(dora)) {
    const [, path, end] = /^base_model\.model\.(.*)\.(lora_[AB])\.weight$/.exec(name) ?? [];
    if (!path) continue;
    const isFused = fused && /attn1\.to_[qkv]$/.test(path);
    if (isFused && !path.endsWith("to_q")) continue;
    const flat = isFused
      ? `lora_unet_${path.replace("transformer_blocks", "blocks").replace("attn1.to_q", "attn.qkv")}`
      : `lora_transformer_${path}`;
    const others = ["to_k", "to_v"].map((other) => dora[name.replace("to_q", other)]);
    // Each way down is another, so that they come one below the other.
    out[`${flat.replaceAll(".", "_")}.${part[end]}`] = isFused
      ? {
        dtype: value.dtype,
        shape: [3 * value.shape[0], value.shape[1]],
        data: joined(value.data, ...others.map(({ data }) => data)),
      }
      : value;
    out[`${flat.replaceAll(".", "_")}.alpha`] = alpha;
  }
  return out;
}

Deno.test("PixArtTransformer2DModel.loadLora() takes kohya's names to the same numbers, and gives the model back as it was", async () => {
  const { root, lora, dora } = await adaptersFolder();
  using _root = root;
  using io = await Reference.open(lora);
  const inputs = await readInputs(io);
  using model = await PixArtTransformer2DModel.fromPretrained(joinPath(root.path, "dit-sigma"), {
    device,
    dtype: "f16",
  });
  const run = async () => (await runTransformer(device, model, io, inputs)).data;
  const before = await run();
  device.arena.trim();
  const { bytes, buffers } = device.ledger;
  const results: Float32Array[] = [];
  const folders = [joinPath(lora, "peft-lora")];
  for (const fused of [false, true]) {
    const file = joinPath(root.path, `${fused}.safetensors`);
    await Deno.writeFile(file, encodeSafetensors(kohya(dora, fused)));
    folders.push(file);
  }
  for (const folder of folders) {
    await model.loadLora(folder);
    results.push(await run() as Float32Array);
    await model.unloadLora();
  }
  assert.notDeepEqual(results[0], before);
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
  assert.deepEqual(await run(), before);
  device.arena.trim();
  assert.deepEqual([device.ledger.bytes, device.ledger.buffers], [bytes, buffers]);
  const stranger = joinPath(root.path, "stranger.safetensors");
  await Deno.writeFile(
    stranger,
    encodeSafetensors({ "transformer.x_proj.lora_A.weight": dora[`${PEFT}proj_out.lora_A.weight`] }),
  );
  await assert.rejects(model.loadLora(stranger), (error) => {
    return error instanceof WeightsError && /1 are not: transformer\.x_proj\.lora_A\.weight$/.test(error.message);
  });
});
