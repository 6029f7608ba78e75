// LoRAs on a transformer whose weights come and go.

import assert from "node:assert/strict";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { device } from "../_device.ts";
import { LoraFolder, tensor } from "../io/_lora_files.ts";

const FEW = { numInferenceSteps: 1, seed: 0, outputType: "latent" } as const;
const MODULE = "transformer_blocks.1.attn1.to_q";

Deno.test("LoRAs loaded, set and unloaded while the transformer is away are in its weights when it is back", async () => {
  using folder = new LoraFolder();
  using held = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device });
  using pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, offload: true });
  const { transformer } = pipe.components;
  const { width } = transformer;
  const file = folder.write("a.safetensors", {
    [`${MODULE}.lora_A.weight`]: tensor([4, width], 1),
    [`${MODULE}.lora_B.weight`]: tensor([width, 4], 2),
  });
  const latents = async (pipe: PixArtSigmaPipeline) => (await pipe.generate("a panda", FEW)).output!.data;
  const plain = await latents(held);
  const both = async (change: (pipe: PixArtSigmaPipeline) => Promise<unknown>) => {
    await change(held);
    await change(pipe);
    assert.ok(!transformer.isLoaded);
    const expected = await latents(held);
    assert.deepEqual(await latents(pipe), expected);
    return expected;
  };
  const worn = await both((pipe) => pipe.loadLora(file, { adapterName: "a" }));
  assert.notDeepEqual(worn, plain);
  assert.notDeepEqual(await both((pipe) => pipe.setAdapters("a", 0.5)), worn);
  await transformer.load();
  await pipe.setAdapters("a", 1);
  assert.deepEqual(await latents(pipe), worn);
  await transformer.unload();
  assert.deepEqual(await latents(pipe), worn);
  await held.setAdapters("a", 1);
  assert.deepEqual(await both((pipe) => pipe.unloadLora()), plain);
});
