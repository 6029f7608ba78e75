// Detection of components, and what verification does with folders that it cannot run.

import assert from "node:assert/strict";
import { ConfigError, UsageError, WeightsError } from "../../src/errors.ts";
import { joinPath } from "../../src/io/byte_source.ts";
import { findComponent } from "../../src/verify/component.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { golden } from "./_folders.ts";

Deno.test("findComponent() knows every layout by its config or its files", async () => {
  const kinds = {
    "dit-sigma": ["transformer", "PixArtTransformer2DModel"],
    "dit-alpha-micro": ["transformer", "PixArtTransformer2DModel"],
    "vae": ["autoencoder", "AutoencoderKL"],
    "t5": ["text encoder", "T5EncoderModel"],
    "t5-sharded": ["text encoder", "T5EncoderModel"],
    "schedulers-dpm": ["schedulers", "DPMSolverMultistepScheduler"],
    "orig-samplers": ["original samplers", "original samplers"],
    "rng": ["generator", "Generator"],
    "tokenizer": ["tokenizer", "T5Tokenizer"],
    "captions": ["captions", "cleanCaption"],
    "pipeline-tiny": ["pipeline", "PixArtSigmaPipeline"],
  };
  for (const [name, [kind, component]] of Object.entries(kinds)) {
    assert.deepEqual(await findComponent(golden(name)), { kind, name: component }, name);
  }
});

/** Writes files into a new folder and gives `work` its path. */
async function inFolder(files: Record<string, string | Uint8Array>, work: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "verify" });
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = joinPath(folder, name);
      await (typeof content === "string" ? Deno.writeTextFile(path, content) : Deno.writeFile(path, content));
    }
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const refuses = (files: Record<string, string | Uint8Array>, message: RegExp, type: typeof ConfigError = ConfigError) =>
  inFolder(files, async (folder) => {
    await assert.rejects(verifyFolder(folder), (error) => {
      assert.ok(error instanceof type, `${error}`);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });

Deno.test("verifyFolder() says in one line what it looked for in a folder of nothing known", async () => {
  await refuses({}, /none of these was found.*config\.json.*t5\.json.*captions\.json.*index\.json.*io\.safetensors/);
  await refuses({ "index.json": "{}" }, /none of these was found/);
  await refuses({ "config.json": '{"_class_name": "UNet2DModel"}' }, /UNet2DModel.*known are .*AutoencoderKL/);
  await refuses(
    { "index.json": '{"checkpoint": ".", "cases": []}', "model_index.json": "{}" },
    /_class_name undefined/,
  );
  await refuses({ "config.json": "[]" }, /not an object/);
  await refuses({ "config.json": "{" }, /as JSON/);
});

Deno.test("verifyFolder() refuses a tolerance that is none, and a component without its reference", async () => {
  await assert.rejects(verifyFolder(golden("rng"), { tolerance: NaN }), UsageError);
  await assert.rejects(verifyFolder(golden("rng"), { tolerance: -1 }), UsageError);
  await refuses({ "config.json": '{"_class_name": "AutoencoderKL"}' }, /io\.safetensors/, WeightsError);
});
