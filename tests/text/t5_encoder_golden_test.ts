// The text encoder against PyTorch's numbers, from one file and from shards.

import assert from "node:assert/strict";
import { verifyFolder } from "../../src/verify/verify.ts";
import { device } from "../_device.ts";
import { assertVerifies, floats, FolderCopy, golden } from "../verify/_folders.ts";

Deno.test("T5EncoderModel.forward() matches PyTorch with f32 weights, padding and text, from one file and from shards", async () => {
  for (const name of ["t5", "t5-sharded"]) {
    const { component, outputs } = await assertVerifies(golden(name), { device });
    assert.equal(component, "T5EncoderModel");
    assert.equal(outputs[0].name, "out.last_hidden_state");
    assert.ok(outputs.length === 1 || outputs[1].name === "out.last_hidden_state (mask 1)");
  }
});

Deno.test("T5EncoderModel.forward() matches PyTorch within 1e-2 with f16 weights", async () => {
  await assertVerifies(golden("t5"), { device, dtype: "f16" });
});

Deno.test("verifyFolder() fails a text encoder of which one recorded output or one weight was changed", async () => {
  using output = await FolderCopy.of(golden("t5"));
  await output.change("io.safetensors", (tensors) => floats(tensors["out.last_hidden_state"])[0] *= 2);
  assert.equal((await verifyFolder(output.path, { device })).ok, false);
  using weight = await FolderCopy.of(golden("t5"));
  await weight.change("model.safetensors", (tensors) => {
    floats(tensors["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"])[0] += 1;
  });
  assert.equal((await verifyFolder(weight.path, { device })).ok, false);
});
