import assert from "node:assert/strict";
import { describeModel } from "../../src/checkpoints/describe_model.ts";
import { asOriginal } from "../../src/io/original_names.ts";
import { encodeSafetensors, openSafetensors, type TensorData } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { writeControlNet } from "../pipelines/_controlnet.ts";
import { golden } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

Deno.test("describeModel() tells the network, its extents and its tensors", async () => {
  const [dit] = await describeModel(golden("dit-sigma"));
  assert.equal(dit.model, "PixArtTransformer2DModel");
  assert.equal(dit.about, "3 blocks of width 96, 4 heads, 256 pixels, positions divided by 1");
  assert.deepEqual([dit.tensors.length, dit.parameters, dit.dtypes], [78, 555_104, { F32: 2_220_416 }]);
  assert.deepEqual(dit.tensors.find(({ name }) => name === "proj_out.bias"), {
    name: "proj_out.bias",
    dtype: "F32",
    shape: [32],
    bytes: 128,
  });
  assert.equal((await describeModel(golden("vae")))[0].model, "AutoencoderKL");
  assert.equal((await describeModel(golden("t5-sharded")))[0].model, "T5EncoderModel");
});

Deno.test("describeModel() describes each network of a pipeline", async () => {
  const models = await describeModel(new URL("../../weights/emoji-64", import.meta.url).pathname);
  const classes = ["PixArtTransformer2DModel", "T5EncoderModel", "AutoencoderKL"];
  assert.deepEqual(models.map(({ model }) => model), classes);
});

Deno.test("describeModel() tells a ControlNet and how much it copies, beside its base or alone", async () => {
  using folder = temporaryFolder();
  const [alone] = await describeModel(await writeControlNet(folder.path));
  assert.deepEqual([alone.model, alone.about], ["PixArtControlNetAdapterModel", "3 copied blocks of width 192"]);
  using base = await openSafetensors(golden("dit-sigma/diffusion_pytorch_model.safetensors"));
  const original = asOriginal(base), width = 96;
  const tensors: Record<string, TensorData> = {};
  for (const name of original.names()) {
    const { shape } = original.info(name);
    tensors[`base_model.${name}`] = { dtype: "F32", shape, data: await readFloats(original, name) };
  }
  const after = { dtype: "F32" as const, shape: [width, width], data: new Float32Array(width * width) };
  tensors["controlnet.0.after_proj.weight"] = tensors["controlnet.1.after_proj.weight"] = after;
  const path = `${folder.path}/whole.safetensors`;
  await Deno.writeFile(path, encodeSafetensors(tensors));
  const [whole] = await describeModel(path);
  assert.equal(whole.model, "PixArtTransformer2DModel and PixArtControlNetAdapterModel");
  assert.equal(whole.about, "2 copied blocks of width 96");
});

Deno.test("describeModel() says what it would have to be told, and lists tensors of anything else", async () => {
  using folder = temporaryFolder();
  const path = `${folder.path}/lone.safetensors`;
  await Deno.copyFile(golden("dit-sigma/diffusion_pytorch_model.safetensors"), path);
  const [lone] = await describeModel(path);
  assert.equal(lone.model, "PixArtTransformer2DModel");
  assert.match(lone.unknown ?? "", /give --heads$/);
  assert.equal((await describeModel(path, { heads: 4, imageSize: 512 }))[0].isGuessed, true);
  const [arrays] = await describeModel(golden("numpy/arrays.npz"));
  assert.deepEqual([arrays.model, arrays.about], ["unknown", ""]);
  assert.ok(arrays.tensors.length > 3);
});
