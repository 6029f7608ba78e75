import assert from "node:assert/strict";
import { joinPath } from "../../src/io/byte_source.ts";
import { writeFileWhole } from "../../src/io/output_file.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { writeTorchFile } from "../../src/io/torch_writer.ts";
import { parseAutoencoderConfig } from "../../src/vae/config.ts";
import { openAutoencoder } from "../../src/vae/open_autoencoder.ts";
import { assertSameBytes, golden, renamed } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

const open = () => openSafetensors(golden("vae/diffusion_pytorch_model.safetensors"));

Deno.test("openAutoencoder() opens a folder with a .bin of before and a config that lacks keys", async () => {
  using folder = temporaryFolder();
  using source = await open();
  const old = renamed(source, (name) => name.replace(".to_q.", ".query.").replace(".to_out.0.", ".proj_attn."));
  const path = joinPath(folder.path, "diffusion_pytorch_model.bin");
  await writeFileWhole(path, {}, (file) => writeTorchFile(file, old));
  const json = JSON.parse(await Deno.readTextFile(golden("vae/config.json")));
  for (const key of ["scaling_factor", "mid_block_add_attention", "use_quant_conv", "shift_factor", "act_fn"]) {
    delete json[key];
  }
  await Deno.writeTextFile(joinPath(folder.path, "config.json"), JSON.stringify(json));
  const opened = await openAutoencoder(folder.path);
  assert.equal(opened.config.scalingFactor, 0.18215);
  await assertSameBytes(opened.source, source);
  opened.source[Symbol.dispose]();
});

Deno.test("openAutoencoder() guesses a config but for the scale, which it asks for", async () => {
  using folder = temporaryFolder();
  const path = joinPath(folder.path, "vae.safetensors");
  await Deno.copyFile(golden("vae/diffusion_pytorch_model.safetensors"), path);
  await assert.rejects(openAutoencoder(path), /SDXL \(0\.13025\) look alike; give --scaling-factor$/);
  // The golden network has 8 groups; released ones have 32, and no tensor tells.
  await assert.rejects(openAutoencoder(path, { scalingFactor: 0.13025 }), /multiples of norm_num_groups 32/);
  const json = JSON.parse(await Deno.readTextFile(golden("vae/config.json")));
  await Deno.writeTextFile(joinPath(folder.path, "vae.json"), JSON.stringify(json));
  const opened = await openAutoencoder(path);
  assert.deepEqual(opened.config, parseAutoencoderConfig(json));
  opened.source[Symbol.dispose]();
});
