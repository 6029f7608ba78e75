// Weights that are not finite numbers, as a user of the command line hears of them.

import assert from "node:assert/strict";
import { floats, FolderCopy, golden } from "../verify/_folders.ts";
import { spoiledModel } from "../pipelines/_spoiled_model.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { linesOf, pixart } from "./_cli.ts";

const ARGS = ["a red apple", "--seed", "5", "--steps", "1", "--json"];

const warnings = (stderr: string) => linesOf(stderr).filter((line) => line.startsWith("pixart: warning: "));

Deno.test("generate() warns of weights that are not finite, on stderr and in its report", async () => {
  using model = await spoiledModel("vae", { "encoder.conv_in.weight": NaN }); // painting does not use it
  using folder = temporaryFolder();
  const { code, stdout, stderr } = await pixart(["generate", ...ARGS, "--model", model.path, "--out", folder.path]);
  assert.equal(code, 0, stderr);
  const { warnings: told } = JSON.parse(stdout);
  assert.equal(told.length, 1);
  assert.match(told[0], /^encoder\.conv_in\.weight of \S+ should be finite numbers/);
  assert.deepEqual(warnings(stderr), [`pixart: warning: ${told[0]}`]);
});

Deno.test("generate() has warned of weights that are not finite when it fails for them", async () => {
  using model = await spoiledModel("transformer", { "transformer_blocks.0.attn1.to_q.weight": Infinity });
  using folder = temporaryFolder();
  const { code, stdout, stderr } = await pixart(["generate", ...ARGS, "--model", model.path, "--out", folder.path]);
  assert.equal(code, 1, stderr);
  assert.equal(JSON.parse(stdout).error.kind, "NumericError");
  assert.match(warnings(stderr)[0], /transformer_blocks\.0\.attn1\.to_q\.weight of /);
  assert.equal(warnings(stderr).length, 1);
});

Deno.test("verify() warns of weights that are not finite", async () => {
  using copy = await FolderCopy.of(golden("vae"));
  await copy.change("diffusion_pytorch_model.safetensors", (tensors) => {
    floats(tensors["decoder.conv_out.weight"])[0] = NaN;
  });
  const { code, stdout, stderr } = await pixart(["verify", copy.path, "--json"]);
  assert.equal(code, 1);
  const [report] = JSON.parse(stdout).reports;
  assert.match(report.warnings[0], /^decoder\.conv_out\.weight of /);
  assert.deepEqual(warnings(stderr), [`pixart: warning: ${report.warnings[0]}`]);
});
