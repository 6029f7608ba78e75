// The original repository's layout, made of golden folders in diffusers': the same network under other names.

import assert from "node:assert/strict";
import { joinPath } from "../../src/io/byte_source.ts";
import { asOriginal } from "../../src/io/original_names.ts";
import { writeFileWhole } from "../../src/io/output_file.ts";
import { encodeSafetensors, openSafetensors } from "../../src/io/safetensors.ts";
import { writeTorchFile } from "../../src/io/torch_writer.ts";
import { originalConfigJson } from "../../src/dit/config_json.ts";
import { openTransformer } from "../../src/dit/open_transformer.ts";
import { findComponent } from "../../src/verify/component.ts";
import { device } from "../_device.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { assertVerifies, golden, type Tensors } from "./_folders.ts";

const NAMES: Record<string, string> = {
  "in.hidden_states": "in.x",
  "in.encoder_hidden_states": "in.y",
  "in.encoder_attention_mask": "in.mask",
  "in.timestep": "in.timestep",
  "in.resolution": "in.img_hw",
  "in.aspect_ratio": "in.aspect_ratio",
  "out.sample": "out.x",
};

/** Writes a golden transformer as the original repository has it. */
async function writeOriginal(from: string, to: string): Promise<void> {
  const { config, source } = await openTransformer(golden(from));
  using _source = source;
  await writeFileWhole(joinPath(to, "model.pth"), {}, (file) => writeTorchFile(file, asOriginal(source)));
  await Deno.writeTextFile(joinPath(to, "config.json"), JSON.stringify(originalConfigJson(config)));
  using io = await openSafetensors(joinPath(golden(from), "io.safetensors"));
  const tensors: Tensors = {};
  for (const [name, original] of Object.entries(NAMES)) {
    if (!io.has(name)) continue;
    const { dtype, shape: [batch, ...rest] } = io.info(name);
    const extra = original === "in.y" ? [1] : original === "in.mask" ? [1, 1] : [];
    tensors[original] = { dtype, shape: [batch, ...extra, ...rest], data: await io.read(name) } as Tensors[string];
  }
  await Deno.writeFile(joinPath(to, "io.safetensors"), encodeSafetensors(tensors));
}

for (const name of ["dit-sigma", "dit-alpha-micro"]) {
  Deno.test(`verifyFolder() runs ${name} in the original repository's layout`, async () => {
    using folder = temporaryFolder();
    await writeOriginal(name, folder.path);
    assert.deepEqual(await findComponent(folder.path), { kind: "original transformer", name: "PixArtMS" });
    const { outputs } = await assertVerifies(folder.path, { device });
    assert.deepEqual(outputs.map((output) => output.name), ["out.x"]);
  });
}
