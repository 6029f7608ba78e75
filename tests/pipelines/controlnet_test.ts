// Whole runs that a ControlNet steers: against latents of diffusers' research project, and beside all else that a call can ask for.

import assert from "node:assert/strict";
import { PixArtControlNetAdapterModel } from "../../src/dit/controlnet.ts";
import { UsageError } from "../../src/errors.ts";
import { read } from "../../src/gpu/readback.ts";
import { edgeImage } from "../../src/io/edge_image.ts";
import { openSafetensors } from "../../src/io/safetensors.ts";
import { readFloats } from "../../src/io/weights.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { GenerateOptions } from "../../src/pipelines/generate_options.ts";
import { PixArtAlphaPipeline } from "../../src/pipelines/pixart_alpha_pipeline.ts";
import {
  type ControlnetOptions,
  PixArtAlphaControlnetPipeline,
  PixArtSigmaControlnetPipeline,
} from "../../src/pipelines/pixart_controlnet_pipelines.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import type { TextToImagePipeline } from "../../src/pipelines/text_to_image.ts";
import { device } from "../_device.ts";
import { relativeL2 } from "../_reference.ts";
import { golden } from "../_weights.ts";
import { temporaryFolder } from "../_temporary_folder.ts";
import { COPIES, writeControlNet } from "./_controlnet.ts";
import { pattern } from "./_patterns.ts";

const APPLE = "a red apple on a blue background", CACTUS = "a cactus on pink";
const CALL = {
  seed: 0,
  numInferenceSteps: 4,
  maxSequenceLength: 24,
  cleanCaption: false,
  height: 64,
  width: 64,
  outputType: "latent",
} as const;

/** A pipeline with the ControlNet that the recorded runs had, loaded from a file. */
async function load<P>(loading: (controlnet: string) => Promise<P>): Promise<P> {
  using folder = temporaryFolder();
  return await loading(await writeControlNet(folder.path));
}

const pipe = await load((controlnet) =>
  PixArtSigmaControlnetPipeline.fromPretrained(DEFAULT_MODEL, { device, dtype: "f32", controlnet })
);
const plain = new PixArtSigmaPipeline({ ...pipe.components, controlnet: undefined });

const WIDE = pattern(80, 48, 3), SQUARE = pattern(64, 64, 5);

async function latentsOf(from: TextToImagePipeline, options: GenerateOptions, prompt: string | string[] = APPLE) {
  const { output } = await from.generate(prompt, { ...CALL, ...options });
  return output!.data;
}

// Recorded in f32 with the pipeline of diffusers' research project, given this ControlNet. It draws the condition's latents without a
// seed and was made to take the mean; it knows no scale, so that its last projections were halved, and no share of the steps, so that it
// was shown nothing outside of it.
const RECORDED: Record<string, GenerateOptions> = {
  guided: { controlImage: WIDE, guidanceScale: 4.5 },
  half: { controlImage: WIDE, guidanceScale: 1, controlnetConditioningScale: 0.5 },
  window: { controlImage: WIDE, guidanceScale: 3, controlGuidanceStart: 0.25, controlGuidanceEnd: 0.75 },
  two: { controlImage: [WIDE, SQUARE], guidanceScale: 4.5 },
};

Deno.test("PixArtAlphaControlnetPipeline.generate() makes the latents of diffusers' research project", async () => {
  const alpha = new PixArtAlphaControlnetPipeline(pipe.components);
  using recorded = await openSafetensors(golden("controlnet/latents.safetensors"));
  assert.deepEqual(recorded.names(), Object.keys(RECORDED).sort());
  for (const [name, options] of Object.entries(RECORDED)) {
    const latents = await latentsOf(alpha, options, name === "two" ? [APPLE, CACTUS] : APPLE);
    const difference = relativeL2(latents, await readFloats(recorded, name));
    assert.ok(difference < 1e-4, `${name}: ${difference}`);
  }
});

Deno.test("generate() is the base's bit for bit with a scale of 0, a new ControlNet, or nothing to show", async () => {
  const base = await latentsOf(plain, {});
  assert.deepEqual(await latentsOf(pipe, { controlImage: WIDE, controlnetConditioningScale: 0 }), base);
  const { transformer } = pipe.components;
  using controlnet = await PixArtControlNetAdapterModel.fromTransformer(transformer, { copies: COPIES, dtype: "f32" });
  const fresh = new PixArtAlphaPipeline({ ...pipe.components, controlnet });
  assert.deepEqual(await latentsOf(fresh, { controlImage: WIDE }), base);
  assert.deepEqual(await latentsOf(new PixArtSigmaPipeline(pipe.components), {}), base);
  assert.ok(relativeL2(await latentsOf(pipe, { controlImage: WIDE }), base) > 0.1);
});

Deno.test("generate() steers beside perturbed attention and a start picture, and takes embeddings for all of them", async () => {
  using encoded = await pipe.encodePrompt(APPLE, { maxSequenceLength: 24 });
  const data = await read(device, encoded.embeds) as Float32Array;
  const [captions, tokens, width] = encoded.embeds.shape;
  assert.equal(captions, 2);
  const part = (index: number) => ({
    data: data.slice(index * tokens * width, (index + 1) * tokens * width),
    shape: [1, tokens, width],
  });
  const embeddings = {
    promptEmbeds: part(1),
    promptAttentionMask: encoded.mask.slice(tokens),
    negativePromptEmbeds: part(0),
    negativePromptAttentionMask: encoded.mask.slice(0, tokens),
  };
  const ways: Record<string, ControlnetOptions> = {
    perturbed: { controlImage: WIDE, pagScale: 2 },
    started: { controlImage: WIDE, image: SQUARE, strength: 0.5 },
    masked: { controlImage: WIDE, image: SQUARE, maskImage: edgeImage(SQUARE), pagScale: 2 },
  };
  for (const [name, options] of Object.entries(ways)) {
    const steered = await latentsOf(pipe, options);
    const { controlImage: _, ...without } = options;
    assert.ok(relativeL2(steered, await latentsOf(plain, without)) > 0.05, name);
    const { output } = await pipe.generate(undefined, { ...CALL, ...options, ...embeddings });
    assert.ok(relativeL2(output!.data, steered) < 1e-5, name);
  }
});

Deno.test("generate() shows each prompt's images its own picture, whatever is painted at once", async () => {
  const options = { controlImage: [WIDE, SQUARE], numImagesPerPrompt: 2, seed: [1, 2, 3, 4] };
  const all = await latentsOf(pipe, options, [APPLE, CACTUS]);
  const size = all.length / 4;
  const alone = await latentsOf(pipe, { controlImage: SQUARE, seed: 4 }, CACTUS);
  assert.ok(relativeL2(all.subarray(3 * size), alone) < 1e-5);
  const parts = await latentsOf(pipe, { ...options, batchSize: 3 }, [APPLE, CACTUS]);
  assert.ok(relativeL2(parts, all) < 1e-5);
});

Deno.test("generate() paints at the size of what it is shown, and frees what steering took, cancelled or not", async () => {
  const small = pattern(40, 24, 3);
  const options = { numInferenceSteps: 2, seed: 0, controlImage: small };
  const { images: [image] } = await pipe.generate(APPLE, options);
  assert.deepEqual([image.width, image.height], [40, 24]);
  device.arena.trim();
  const before = device.ledger.bytes;
  const abort = new AbortController();
  const cancelled = pipe.generate(APPLE, { ...options, signal: abort.signal, onStep: () => abort.abort() });
  await assert.rejects(cancelled, { name: "AbortError" });
  await pipe.generate(APPLE, options);
  device.arena.trim();
  assert.equal(device.ledger.bytes, before);
});

Deno.test("fromPretrained() offloads a ControlNet with the rest, and its pictures stay as they are", async () => {
  device.arena.trim();
  const bytes = device.ledger.bytes;
  await load(async (controlnet) => {
    const how = { device, dtype: "f32", offload: true, controlnet } as const;
    using offloaded = await PixArtAlphaControlnetPipeline.fromPretrained(DEFAULT_MODEL, how);
    assert.equal(device.ledger.bytes, bytes);
    const options = { controlImage: WIDE, guidanceScale: 3 };
    assert.deepEqual(await latentsOf(offloaded, options), await latentsOf(pipe, options));
    assert.equal(offloaded.components.controlnet!.isLoaded, false);
  });
  device.arena.trim();
  assert.equal(device.ledger.bytes, bytes);
  await assert.rejects(
    PixArtAlphaControlnetPipeline.fromPretrained(DEFAULT_MODEL, { device, controlnet: `${DEFAULT_MODEL}/transformer` }),
    /as a ControlNet/,
  );
  device.arena.trim();
  assert.equal(device.ledger.bytes, bytes);
});

Deno.test("generate() refuses what does not steer", async () => {
  const refused: [TextToImagePipeline, GenerateOptions, RegExp][] = [
    [plain, { controlImage: WIDE }, /for a ControlNet: the pipeline has none/],
    [pipe, {}, /there is no controlImage/],
    [plain, { controlnetConditioningScale: 1 }, /controlnetConditioningScale goes with a controlImage/],
    [pipe, { controlImage: [] }, /one or as many as prompts: 0 for 1/],
    [pipe, { controlImage: [WIDE, WIDE] }, /one or as many as prompts: 2 for 1/],
    [pipe, { controlImage: WIDE, controlnetConditioningScale: NaN }, /a finite number: NaN/],
    [pipe, { controlImage: WIDE, controlGuidanceStart: 0.5, controlGuidanceEnd: 0.5 }, /below controlGuidanceEnd/],
    [pipe, { controlImage: WIDE, controlGuidanceStart: -0.1 }, /from 0 to 1: -0\.1 and 1/],
    [pipe, { controlImage: WIDE, controlGuidanceEnd: 1.1 }, /from 0 to 1: 0 and 1\.1/],
    [new PixArtSigmaPipeline({ ...pipe.components, vae: undefined }), { controlImage: WIDE }, /needs a VAE/],
  ];
  for (const [from, options, message] of refused) {
    const call = from.generate(APPLE, { ...CALL, ...options });
    await assert.rejects(call, (error) => error instanceof UsageError && message.test(error.message), `${message}`);
  }
});
