// The transformer against PyTorch's numbers, and that verification fails when a number of either side is wrong.

import assert from "node:assert/strict";
import { WeightsError } from "../../src/errors.ts";
import { joinPath, readJson } from "../../src/io/byte_source.ts";
import { f32ToBf16, f32ToF16 } from "../../src/io/half.ts";
import { verifyFolder } from "../../src/verify/verify.ts";
import { device } from "../_device.ts";
import { assertVerifies, floats, FolderCopy, golden, type Tensors } from "../verify/_folders.ts";

const WEIGHTS = "diffusion_pytorch_model.safetensors";

Deno.test("PixArtTransformer2DModel.forward() matches PyTorch with f32 weights, Σ and α with size conditions", async () => {
  for (const name of ["dit-sigma", "dit-alpha-micro"]) {
    const { component, outputs } = await assertVerifies(golden(name), { device });
    assert.deepEqual([component, outputs.map((row) => row.name)], ["PixArtTransformer2DModel", ["out.sample"]]);
  }
});

Deno.test("PixArtTransformer2DModel.forward() matches PyTorch within 1e-2 with f16 weights", async () => {
  const { outputs, tolerance } = await assertVerifies(golden("dit-sigma"), { device, dtype: "f16" });
  assert.equal(tolerance, 1e-2);
  assert.ok(outputs[0].relativeL2 > 1e-6, "f16 weights cannot give f32's numbers");
});

/** Keeps one sample of each recorded tensor. */
function keepSample(tensors: Tensors, sample: number) {
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const size = data.length / shape[0];
    const kept = data.slice(sample * size, (sample + 1) * size);
    tensors[name] = { dtype, shape: [1, ...shape.slice(1)], data: kept };
  }
}

Deno.test("PixArtTransformer2DModel.forward() matches PyTorch for a batch of one", async () => {
  using copy = await FolderCopy.of(golden("dit-alpha-micro"));
  await copy.change("io.safetensors", (tensors) => keepSample(tensors, 1));
  await assertVerifies(copy.path, { device });
});

Deno.test("PixArtTransformer2DModel.fromPretrained() without attention biases keeps those of the way out", async () => {
  const isLeftOut = /attn\d\.to_[qkv]\.bias$/;
  using zeros = await FolderCopy.of(golden("dit-sigma"));
  await zeros.change(WEIGHTS, (tensors) => {
    for (const name of Object.keys(tensors)) if (isLeftOut.test(name)) tensors[name].data.fill(0);
  });
  using none = await FolderCopy.of(golden("dit-sigma"));
  await none.change(WEIGHTS, (tensors) => {
    for (const name of Object.keys(tensors)) if (isLeftOut.test(name)) delete tensors[name];
  });
  const path = joinPath(none.path, "config.json");
  const config = await readJson(path) as Record<string, unknown>;
  await Deno.writeTextFile(path, JSON.stringify({ ...config, attention_bias: false }));
  const [[withZeros], [without]] = [
    (await verifyFolder(zeros.path, { device })).outputs,
    (await verifyFolder(none.path, { device })).outputs,
  ];
  assert.ok(withZeros.relativeL2 > 1e-3, "the biases of this checkpoint matter");
  assert.ok(Math.abs(without.relativeL2 - withZeros.relativeL2) < 1e-6, `${without.relativeL2}`);
});

Deno.test("verifyFolder() reads inputs and outputs that were recorded in halves", async () => {
  for (const [dtype, narrow] of [["F16", f32ToF16], ["BF16", f32ToBf16]] as const) {
    using copy = await FolderCopy.of(golden("dit-sigma"));
    await copy.change("io.safetensors", (tensors) => {
      for (const [name, tensor] of Object.entries(tensors)) {
        if (tensor.dtype !== "F32") continue;
        const data = new Uint8Array(narrow(floats(tensor)).buffer);
        tensors[name] = { dtype, shape: tensor.shape, data };
      }
    });
    const report = await assertVerifies(copy.path, { device, tolerance: 1e-2 });
    assert.ok(report.outputs[0].relativeL2 > 1e-5);
  }
});

Deno.test("verifyFolder() fails a transformer of which one recorded output or one weight was changed", async () => {
  using output = await FolderCopy.of(golden("dit-sigma"));
  await output.change("io.safetensors", (tensors) => floats(tensors["out.sample"])[77] += 0.5);
  const [row] = (await verifyFolder(output.path, { device })).outputs;
  assert.equal(row.ok, false);
  assert.ok(Math.abs(row.maxAbsError - 0.5) < 1e-3, `${row.maxAbsError}`);

  using weight = await FolderCopy.of(golden("dit-sigma"));
  await weight.change(WEIGHTS, (tensors) => floats(tensors["transformer_blocks.1.attn2.to_v.weight"])[5] += 1);
  const report = await verifyFolder(weight.path, { device });
  assert.equal(report.ok, false);
  assert.ok(report.outputs[0].relativeL2 > 1e-4);
});

Deno.test("verifyFolder() fails a transformer whose output is not finite, in ours or in the reference", async () => {
  using weight = await FolderCopy.of(golden("dit-sigma"));
  await weight.change(WEIGHTS, (tensors) => floats(tensors["proj_out.bias"])[0] = NaN);
  const [ours] = (await verifyFolder(weight.path, { device, tolerance: 1e9 })).outputs;
  assert.equal(ours.ok, false);
  assert.match(ours.note ?? "", /in ours are not finite/);
  using output = await FolderCopy.of(golden("dit-sigma"));
  await output.change("io.safetensors", (tensors) => floats(tensors["out.sample"])[3] = Infinity);
  const [theirs] = (await verifyFolder(output.path, { device, tolerance: 1e9 })).outputs;
  assert.equal(theirs.ok, false);
  assert.match(theirs.note ?? "", /1 of \d+ in the reference are not finite, the first Infinity at \[3\]/);
});

Deno.test("verifyFolder() fails an output that the transformer does not have, and names a missing input", async () => {
  using extra = await FolderCopy.of(golden("dit-sigma"));
  await extra.change("io.safetensors", (tensors) => tensors["out.attention"] = tensors["out.sample"]);
  const { ok, outputs } = await verifyFolder(extra.path, { device });
  assert.deepEqual([ok, ...outputs.map((row) => [row.name, row.ok])], [false, ["out.attention", false], [
    "out.sample",
    true,
  ]]);
  using missing = await FolderCopy.of(golden("dit-alpha-micro"));
  await missing.change("io.safetensors", (tensors) => delete tensors["in.resolution"]);
  await assert.rejects(verifyFolder(missing.path, { device }), (error) => {
    return error instanceof WeightsError && /must hold in\.resolution: it is missing/.test(error.message);
  });
  using nothing = await FolderCopy.of(golden("dit-sigma"));
  await nothing.change("io.safetensors", (tensors) => delete tensors["out.sample"]);
  await assert.rejects(verifyFolder(nothing.path, { device }), /must hold outputs out\.\*: it holds none/);
});

Deno.test("verifyFolder() leaves the caller's device as it was, also when it fails", async () => {
  await verifyFolder(golden("dit-sigma"), { device });
  const before = device.ledger.bytes;
  await verifyFolder(golden("dit-sigma"), { device });
  assert.equal(device.ledger.bytes, before);
  using broken = await FolderCopy.of(golden("dit-sigma"));
  await broken.change(WEIGHTS, (tensors) => delete tensors["proj_out.bias"]);
  await assert.rejects(verifyFolder(broken.path, { device }), WeightsError);
  assert.equal(device.ledger.bytes, before);
});
