// convert, inspect, merge and make-random as processes: their exit statuses, what they say, what they leave.

import assert from "node:assert/strict";
import { join } from "node:path";
import { golden } from "../_weights.ts";
import { namesIn, temporaryFolder } from "../_temporary_folder.ts";
import { linesOf, pixart, pixartStopped } from "./_cli.ts";

Deno.test("convert writes a .pth that inspect describes without a config of its own", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "sigma.pth");
  const { code, stdout } = await pixart(["convert", golden("dit-sigma"), "--out", out, "--dtype", "f16"]);
  assert.equal(code, 0);
  assert.match(stdout, /sigma\.pth: transformer as pth, 60 tensors, 1\.1 MB\n.*written in/);
  assert.deepEqual(namesIn(folder.path), ["sigma.json", "sigma.pth"]);
  const inspected = await pixart(["inspect", out]);
  assert.equal(inspected.code, 0);
  const lines = linesOf(inspected.stdout);
  assert.match(lines[0], /PixArtTransformer2DModel, 3 blocks of width 96, 4 heads, 256 pixels/);
  assert.match(inspected.stdout, /^ +blocks\.0\.attn\.qkv\.weight +F16 +\[288, 96\] +55296$/m);
  const { stdout: json } = await pixart(["inspect", golden("vae"), "--no-tensors", "--json"]);
  const [model] = JSON.parse(json).models;
  assert.deepEqual([model.model, model.tensors, model.config.scaling_factor], ["AutoencoderKL", undefined, 0.13025]);
});

Deno.test("convert refuses in one line, with the status of its kind", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "out");
  const refuses = async (words: string[], status: number, message: RegExp) => {
    const { code, stderr } = await pixart(["convert", ...words]);
    assert.equal(code, status, stderr);
    assert.match(linesOf(stderr).at(-1)!, message);
  };
  await refuses([golden("dit-sigma")], 2, /--out/);
  await refuses([golden("dit-sigma"), "--out", golden("vae")], 2, /nothing is overwritten unasked/);
  await refuses([golden("captions"), "--out", out], 1, /Cannot open weights/);
  await refuses(
    [golden("dit-sigma/diffusion_pytorch_model.safetensors"), "--out", out, "--dtype", "q8_0"],
    2,
    /only GGUF/,
  );
  await Deno.copyFile(golden("dit-sigma/diffusion_pytorch_model.safetensors"), join(folder.path, "lone.safetensors"));
  await refuses([join(folder.path, "lone.safetensors"), "--out", out, "--heads", "4"], 1, /give --image-size/);
  assert.deepEqual(namesIn(folder.path), ["lone.safetensors"]);
});

Deno.test("merge mixes, and says what it wrote as a document", async () => {
  using folder = temporaryFolder();
  const out = join(folder.path, "merged");
  const words = ["merge", golden("dit-sigma"), golden("dit-sigma"), "--ratio", "0.3", "--out", out, "--json"];
  const { code, stdout } = await pixart(words);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout).written, [
    { path: out, kind: "transformer", format: "diffusers", tensors: 78, bytes: 2_220_416 },
  ]);
  assert.deepEqual(namesIn(out), ["config.json", "diffusion_pytorch_model.safetensors"]);
  assert.equal((await pixart(["merge", golden("vae"), golden("vae"), "--ratio", "x", "--out", out])).code, 2);
});

Deno.test("make-random stops at Ctrl-C and leaves nothing", async () => {
  using folder = temporaryFolder();
  const bad = await pixart(["make-random", "sigma-8k", "--out", join(folder.path, "x")]);
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /must be one of sigma-256, .*sd-vae/);
  const words = ["make-random", "t5-xxl", "--dtype", "f32", "--out", join(folder.path, "t5")];
  const { code, stderr } = await pixartStopped(words, "writing text_encoder", "SIGINT");
  assert.equal(code, 130, stderr);
  assert.deepEqual(namesIn(folder.path), []);
});
