// Verifies LoRAs and DoRAs. In: a folder with recorded inputs, outputs at several scales, and a folder for each adapter, one of
// which names the network: a folder beside this one. Out: a row for each adapter and scale.

import { PixArtTransformer2DModel } from "../dit/transformer.ts";
import { ConfigError } from "../errors.ts";
import { isRemote } from "../io/address.ts";
import { exists, joinPath, readJson } from "../io/byte_source.ts";
import { isRecord } from "../io/strict_json.ts";
import { compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";
import { readInputs, runTransformer } from "./verify_transformer.ts";

const CONFIG = "adapter_config.json";
const FILES = ["adapter_model.safetensors", "adapter_model.bin", "pytorch_lora_weights.safetensors"];
// A URL cannot be listed; these are the names to try there.
const USUAL = ["diffusers-dora", "diffusers-lora", "peft-dora", "peft-lora"];
const OUTPUT = /^out\.(lora|dora)\.(.+)$/;

async function adapterFolders(folder: string): Promise<string[]> {
  const names = isRemote(folder) ? USUAL : [];
  if (names.length === 0) {
    for await (const entry of Deno.readDir(folder)) if (!entry.isFile) names.push(entry.name);
  }
  const found: string[] = [];
  for (const name of names.sort()) {
    for (const file of FILES) {
      if (!await exists(joinPath(folder, name, file))) continue;
      found.push(name);
      break;
    }
  }
  if (found.length > 0) return found;
  throw new ConfigError(
    `Cannot verify the adapters of ${folder} as folders in it must hold ${FILES.join(" or ")}: none`,
  );
}

/** The folder of the network, which PEFT's configurations name. */
async function networkFolder(folder: string, adapters: readonly string[]): Promise<string> {
  for (const adapter of adapters) {
    const file = joinPath(folder, adapter, CONFIG);
    if (!await exists(file)) continue;
    const config = await readJson(file);
    const name = isRecord(config) ? config.base_model_name_or_path : undefined;
    const last = typeof name === "string" ? name.replace(/\/+$/, "").split("/").at(-1) : "";
    if (last) return joinPath(folder, "..", last);
  }
  throw new ConfigError(
    `Cannot verify the adapters of ${folder} as an ${CONFIG} must say base_model_name_or_path: none does`,
  );
}

/** Runs a PixArt transformer with each adapter at each scale that was recorded for its kind. */
export async function verifyAdapters(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  const outputs = io.outputs();
  const folders = await adapterFolders(run.folder);
  const network = await networkFolder(run.folder, folders);
  const inputs = await readInputs(io);
  const device = await run.device();
  run.progress("loading the transformer");
  const { dtype, warn: onWarning, signal } = run;
  using model = await PixArtTransformer2DModel.fromPretrained(network, { device, dtype, onWarning, signal });
  const rows: OutputReport[] = [];
  const compared = new Set<string>();
  for (const folder of folders) {
    run.progress(`running the transformer with ${folder}`);
    const adapter = await model.loadLora(joinPath(run.folder, folder), { signal });
    const kind = model.adapters[0].isDora ? "dora" : "lora";
    for (const name of outputs) {
      const [, ofKind, scale] = OUTPUT.exec(name) ?? [];
      if (ofKind !== kind) continue;
      await model.setAdapters(adapter, Number(scale), { signal });
      const sample = await runTransformer(device, model, io, inputs);
      rows.push(compareFloats(`${folder}/${name}`, sample, await io.floats(name), run.tolerance));
      compared.add(name);
    }
    await model.unloadLora();
  }
  const left = outputs.filter((name) => !compared.has(name));
  return [...rows, ...left.map((name) => notCompared(name, "no adapter in the folder has such an output"))];
}
