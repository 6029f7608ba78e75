// Prompts that weigh their words, through the text encoder and whole runs.

import assert from "node:assert/strict";
import { read } from "../../src/gpu/readback.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { device } from "../_device.ts";
import { assertClose, relativeL2 } from "../_reference.ts";

const pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, dtype: "f32" });
const { tokenizer, textEncoder } = pipe.components;
const LENGTH = 24;

/** Embeddings [B, L, C] of prompts without negatives. */
async function embedsOf(prompt: string | string[], promptWeighting: boolean, cleanCaption = false) {
  const options = { doClassifierFreeGuidance: false, promptWeighting, cleanCaption };
  using encoded = await pipe.encodePrompt(prompt, options);
  return { embeds: await read(device, encoded.embeds) as Float32Array, mask: encoded.mask };
}

/** The rule by its definition: each token's distance from that of an all-padding text, times its weight. */
async function byTheRule(plain: string, weightOf: (piece: string) => number): Promise<Float32Array> {
  const { embeds } = await embedsOf(plain, false);
  using scope = device.arena.scope();
  const padding = await textEncoder!.encode(scope, new Int32Array(LENGTH), 1, new Int32Array(LENGTH).fill(1));
  const empty = await read(device, padding) as Float32Array;
  const { inputIds } = tokenizer!.encode(plain, { maxLength: LENGTH, padding: true });
  const width = empty.length / LENGTH;
  return embeds.map((value, i) => {
    const weight = weightOf(tokenizer!.decode([inputIds[Math.floor(i / width)]]));
    return empty[i] + weight * (value - empty[i]);
  });
}

Deno.test("encodePrompt() weighs words from the empty prompt's embeddings on, by ComfyUI's rule", async () => {
  const expected = await byTheRule(
    "a red apple on a blue background",
    (piece) => piece === "red" ? 1.5 : piece === "blue" ? 0.25 : 1,
  );
  const { embeds, mask } = await embedsOf("a (red:1.5) Apple on a (blue:0.25) background", true);
  assertClose(embeds, expected, 1e-5);
  const plain = await embedsOf("a red apple on a blue background", true);
  assert.deepEqual(mask, plain.mask);
  assert.ok(relativeL2(embeds, plain.embeds) > 0.05);
  const cleaned = await embedsOf("<b>A (Red:1.5) apple</b> on a [(blue:0.25)] background", true, true);
  assertClose(cleaned.embeds, expected, 1e-5);
});

Deno.test("encodePrompt() weighs each prompt of a batch by itself", async () => {
  const prompts = ["a (red:1.5) apple", "a cactus on pink", "(a cactus:0.5) on pink"];
  const { embeds } = await embedsOf(prompts, true);
  const size = embeds.length / prompts.length;
  for (const [i, prompt] of prompts.entries()) {
    const alone = await embedsOf(prompt, true);
    assertClose(embeds.subarray(i * size, (i + 1) * size), alone.embeds, 1e-5, prompt);
  }
});

Deno.test("generate() with weights of 1 makes the plain prompt's picture bit for bit, and another with others", async () => {
  const latentsOf = async (prompt: string, promptWeighting: boolean, negativePrompt: string) => {
    const options = { seed: 0, numInferenceSteps: 2, outputType: "latent", negativePrompt, promptWeighting } as const;
    return (await pipe.generate(prompt, options)).output!.data;
  };
  const plain = await latentsOf("a red apple, on blue", false, "pink");
  assert.deepEqual(await latentsOf("a (red:1) apple, on blue", true, "(pink:1)"), plain);
  // Without the option, parentheses are cleaned away as any others.
  assert.deepEqual(await latentsOf("a (red) apple, on (blue)", false, "(pink)"), plain);
  assert.ok(relativeL2(await latentsOf("a (red:1.5) apple, on blue", true, "pink"), plain) > 0.01);
  assert.ok(relativeL2(await latentsOf("a red apple, on blue", true, "(pink:0.2)"), plain) > 0.01);
});

Deno.test("encodePrompt() frees what weights took", async () => {
  await embedsOf("a (red:1.5) apple", true);
  device.arena.trim();
  const before = device.ledger.bytes;
  await embedsOf("a (red:1.5) apple", true);
  device.arena.trim();
  assert.equal(device.ledger.bytes, before);
});
