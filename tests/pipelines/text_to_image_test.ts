// The pipeline's behaviour on the embedded checkpoint: stages, batches, cancelling, and what it refuses. Its numbers are compared
// with diffusers' in pixart_sigma_golden_test.ts.

import assert from "node:assert/strict";
import { PixArtTransformer2DModel } from "../../src/dit/transformer.ts";
import { NumericError, UsageError, WeightsError } from "../../src/errors.ts";
import { read } from "../../src/gpu/readback.ts";
import { decodePng } from "../../src/io/image.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { GenerateOptions } from "../../src/pipelines/generate_options.ts";
import { classifierFree } from "../../src/pipelines/guidance.ts";
import { NoiseSource } from "../../src/pipelines/noise_source.ts";
import { PixArtAlphaPipeline } from "../../src/pipelines/pixart_alpha_pipeline.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { Generator } from "../../src/random/generator.ts";
import { device } from "../_device.ts";
import { relativeL2 } from "../_reference.ts";

const pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device });
const APPLE = "a red apple on a blue background";
const FEW = { numInferenceSteps: 3, seed: 0 };

async function latentsOf(prompt: string | string[] | undefined, options: GenerateOptions): Promise<Float32Array> {
  const { output } = await pipe.generate(prompt, { ...FEW, outputType: "latent", ...options });
  return output!.data;
}

Deno.test("generate() gives each image of a batch what it gives it alone", async () => {
  const together = await latentsOf([APPLE, "a cactus on pink"], { seed: [3, 5], negativePrompt: ["blue", ""] });
  const first = await latentsOf(APPLE, { seed: 3, negativePrompt: "blue" });
  const second = await latentsOf("a cactus on pink", { seed: 5 });
  assert.ok(relativeL2(together.subarray(0, first.length), first) < 1e-5);
  assert.ok(relativeL2(together.subarray(first.length), second) < 1e-5);
});

Deno.test("generate() draws one batch of noise from one seed, prompt by prompt", async () => {
  const { images, seed } = await pipe.generate([APPLE, "a cactus on pink"], { ...FEW, numImagesPerPrompt: 2 });
  assert.equal(seed, 0);
  assert.deepEqual(images.map(({ metadata }) => [metadata.prompt, metadata.image_index]), [
    [APPLE, "0"],
    [APPLE, "1"],
    ["a cactus on pink", "2"],
    ["a cactus on pink", "3"],
  ]);
  assert.notDeepEqual(images[0].pixels, images[1].pixels);
});

Deno.test("generate() starts from given latents as it starts from the seed's noise", async () => {
  const data = new Generator(0).randn([1, 4, 16, 16]);
  const given = await latentsOf(APPLE, { seed: undefined, latents: { data, shape: [1, 4, 16, 16] } });
  assert.ok(relativeL2(given, await latentsOf(APPLE, {})) < 1e-6);
});

Deno.test("generate() takes embeddings in place of prompts", async () => {
  using encoded = await pipe.encodePrompt(APPLE, { cleanCaption: true });
  const [batch, tokens, width] = encoded.embeds.shape;
  assert.equal(batch, 2);
  const data = await read(device, encoded.embeds);
  const size = tokens * width;
  const shape = [1, tokens, width];
  const latents = await latentsOf(undefined, {
    promptEmbeds: { data: data.slice(size), shape },
    promptAttentionMask: encoded.mask.slice(tokens),
    negativePromptEmbeds: { data: data.slice(0, size), shape },
    negativePromptAttentionMask: encoded.mask.slice(0, tokens),
  });
  assert.ok(relativeL2(latents, await latentsOf(APPLE, {})) < 1e-6);
});

Deno.test("the stages called one by one make what generate() makes", async () => {
  using prompt = await pipe.encodePrompt(APPLE, { cleanCaption: true });
  const noise = new NoiseSource(0);
  using latents = pipe.prepareLatents(prompt.batch, pipe.defaultSize, noise);
  const { scheduler } = pipe.components;
  scheduler.setTimesteps(3);
  const steps: number[] = [];
  const run = pipe.denoise({ latents, prompt, plan: scheduler.plan(), guidance: classifierFree(4.5), noise });
  for await (const { step } of run) steps.push(step);
  assert.deepEqual(steps, [1, 2, 3]);
  const { images } = await pipe.decode(latents);
  const { images: [whole] } = await pipe.generate(APPLE, FEW);
  assert.deepEqual(images[0].pixels, whole.pixels);
});

Deno.test("generate() gives numbers in both layouts, and the same picture as pixels", async () => {
  const { images: [image] } = await pipe.generate(APPLE, FEW);
  const { output: first } = await pipe.generate(APPLE, { ...FEW, outputType: "pt" });
  const { output: last } = await pipe.generate(APPLE, { ...FEW, outputType: "np" });
  assert.deepEqual([first!.shape, last!.shape], [[1, 3, 64, 64], [1, 64, 64, 3]]);
  for (const [y, x, c] of [[0, 0, 0], [31, 17, 1], [63, 62, 2]]) {
    const value = last!.data[(y * 64 + x) * 3 + c];
    assert.equal(value, first!.data[c * 4096 + y * 64 + x]);
    assert.ok(Math.abs(value * 255 - image.pixels[(y * 64 + x) * 3 + c]) <= 0.5 + 1e-4);
  }
});

Deno.test("generate() writes into the PNG what makes the picture again", async () => {
  const { images: [image], seed } = await pipe.generate("a frog on a pink background", {
    numInferenceSteps: 2,
    height: 48,
    width: 96,
    negativePrompt: "blau, für ⬛",
  });
  const { metadata, width, height } = decodePng(await image.encode());
  assert.deepEqual([width, height], [96, 48]);
  assert.equal(metadata.seed, `${seed}`);
  const { images: [again] } = await pipe.generate(metadata.prompt, {
    seed: Number(metadata.seed),
    numInferenceSteps: Number(metadata.num_inference_steps),
    guidanceScale: Number(metadata.guidance_scale),
    negativePrompt: metadata.negative_prompt,
    width: Number(metadata.width),
    height: Number(metadata.height),
  });
  assert.deepEqual(again.pixels, image.pixels);
});

Deno.test("generate() stops within a step when its signal is aborted, and frees what it took", async () => {
  await pipe.generate(APPLE, FEW);
  device.arena.trim();
  await device.settle();
  const before = device.ledger.bytes;
  const controller = new AbortController();
  const seen: number[] = [];
  const run = pipe.generate(APPLE, {
    ...FEW,
    numInferenceSteps: 20,
    signal: controller.signal,
    onStep: ({ step }) => {
      seen.push(step);
      if (step === 2) controller.abort(new Error("enough"));
    },
  });
  await assert.rejects(run, /enough/);
  assert.deepEqual(seen, [1, 2]);
  device.arena.trim();
  assert.equal(device.ledger.bytes, before);
  await assert.rejects(pipe.generate(APPLE, { signal: AbortSignal.abort(new Error("never")) }), /never/);
});

Deno.test("denoise() frees what it took when the loop is left early", async () => {
  using prompt = await pipe.encodePrompt(APPLE);
  const noise = new NoiseSource(0);
  using latents = pipe.prepareLatents(1, pipe.defaultSize, noise);
  pipe.components.scheduler.setTimesteps(5);
  const plan = pipe.components.scheduler.plan();
  device.arena.trim();
  const before = device.ledger.bytes;
  for await (const _ of pipe.denoise({ latents, prompt, plan, guidance: classifierFree(4.5), noise })) break;
  device.arena.trim();
  assert.equal(device.ledger.bytes, before);
});

Deno.test("two runs on shared components interleave without touching each other", async () => {
  const other = new PixArtSigmaPipeline(pipe.components);
  const alone = await latentsOf(APPLE, {});
  const [first, second] = await Promise.all([
    latentsOf(APPLE, {}),
    other.generate("a cactus on pink", { ...FEW, outputType: "latent", width: 96, height: 48 }),
  ]);
  assert.deepEqual(first, alone);
  assert.deepEqual(second.output!.shape, [1, 4, 12, 24]);
  other.dispose(); // frees nothing that it was given
  assert.deepEqual(await latentsOf(APPLE, {}), alone);
});

Deno.test("generate() names the stage that made a NaN", async () => {
  const data = new Generator(0).randn([1, 4, 16, 16]);
  data[5] = NaN;
  await assert.rejects(
    pipe.generate(APPLE, { ...FEW, seed: undefined, latents: { data, shape: [1, 4, 16, 16] } }),
    (error) => error instanceof NumericError && error.message.includes("the latents that the run starts from"),
  );
});

Deno.test("generate() runs without a text encoder or a VAE where they are not needed", async () => {
  const { transformer, scheduler } = pipe.components;
  const bare = new PixArtSigmaPipeline({ transformer, scheduler });
  await assert.rejects(bare.generate(APPLE), UsageError);
  const width = transformer.config.captionChannels;
  const options = {
    ...FEW,
    promptEmbeds: { data: new Float32Array(4 * width), shape: [1, 4, width] },
    promptAttentionMask: [1, 1, 1, 1],
    guidanceScale: 1,
    height: 64,
    width: 64,
  };
  await assert.rejects(bare.generate(undefined, options), (error) => {
    return error instanceof UsageError && error.message.includes("outputType latent");
  });
  const { output } = await bare.generate(undefined, { ...options, outputType: "latent" });
  assert.deepEqual(output!.shape, [1, 4, 8, 8]); // eight pixels a latent pixel without a VAE to ask
});

Deno.test("generate() says that a prompt was cut", async () => {
  const { warnings } = await pipe.generate(
    "an elephant and a giraffe and a zebra on a violet background ".repeat(4),
    FEW,
  );
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /cut after 24 tokens/);
});

Deno.test("generate() refuses inputs that do not fit each other", async () => {
  const embeds = { data: new Float32Array(2 * 128), shape: [1, 2, 128] };
  const mask = [1, 1];
  const wrong: [string | string[] | undefined, GenerateOptions, RegExp][] = [
    [APPLE, { height: 60 }, /multiples of 8/],
    [undefined, {}, /neither is/],
    [APPLE, { promptEmbeds: embeds, promptAttentionMask: mask }, /both are/],
    [[], {}, /string or a list/],
    [APPLE, { negativePromptEmbeds: embeds, negativePromptAttentionMask: mask }, /go with promptEmbeds/],
    [
      undefined,
      {
        promptEmbeds: embeds,
        promptAttentionMask: mask,
        negativePrompt: "x",
        negativePromptEmbeds: embeds,
        negativePromptAttentionMask: mask,
      },
      /both are/,
    ],
    [undefined, { promptEmbeds: embeds }, /promptAttentionMask/],
    [
      undefined,
      { promptEmbeds: embeds, promptAttentionMask: mask, negativePromptEmbeds: embeds },
      /negativePromptAttentionMask/,
    ],
    [
      undefined,
      {
        promptEmbeds: embeds,
        promptAttentionMask: mask,
        negativePromptEmbeds: { data: new Float32Array(128), shape: [1, 1, 128] },
        negativePromptAttentionMask: [1],
      },
      /same shape/,
    ],
    [undefined, { promptEmbeds: embeds, promptAttentionMask: [1] }, /one value a token/],
    [APPLE, { numInferenceSteps: 0 }, /numInferenceSteps/],
    [APPLE, { numImagesPerPrompt: 1.5 }, /numImagesPerPrompt/],
    [APPLE, { guidanceScale: NaN }, /guidanceScale/],
    [APPLE, { seed: 0.5 }, /seed/],
    [APPLE, { seed: [1, 2] }, /as many as images: 2 for 1/],
    [[APPLE, APPLE], { negativePrompt: ["x"] }, /as many as prompts/],
    [APPLE, { outputType: "jpeg" as "pil" }, /outputType/],
    [APPLE, { timesteps: [500, 100], sigmas: [1, 0.5] }, /./],
    [APPLE, { latents: { data: new Float32Array(4), shape: [1, 4, 1, 1] } }, /must be \[1, 4, 16, 16\]/],
  ];
  for (const [prompt, options, message] of wrong) {
    await assert.rejects(pipe.generate(prompt, { ...FEW, ...options }), (error) => {
      assert.match((error as Error).message, message);
      return true;
    });
  }
});

Deno.test("PixArtAlphaPipeline paints from the same parts with its own limits", async () => {
  const alpha = new PixArtAlphaPipeline(pipe.components);
  const { output } = await alpha.generate(APPLE, { ...FEW, outputType: "latent" });
  assert.ok(relativeL2(output!.data, await latentsOf(APPLE, {})) < 1e-6);
});

Deno.test("generate() paints at the nearest trained size, then resizes and crops to what was asked for", async () => {
  const { tokenizer, textEncoder, vae, scheduler } = pipe.components;
  const folder = await Deno.makeTempDir();
  try {
    const place = new URL("transformer/", DEFAULT_MODEL);
    const config = JSON.parse(await Deno.readTextFile(new URL("config.json", place)));
    const weights = "diffusion_pytorch_model.safetensors";
    await Deno.copyFile(new URL(weights, place), `${folder}/${weights}`);
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify({ ...config, sample_size: 32 }));
    using transformer = await PixArtTransformer2DModel.fromPretrained(folder, { device });
    const binned = new PixArtSigmaPipeline({ tokenizer, textEncoder, vae, scheduler, transformer });
    const options = { seed: 0, numInferenceSteps: 1, height: 152, width: 296 };
    const { images: [image] } = await binned.generate(APPLE, options);
    assert.deepEqual([image.width, image.height], [296, 152]);
    // 152 / 296 is nearest to the bin 0.52, whose picture is 176 x 336.
    const { output } = await binned.generate(APPLE, { ...options, outputType: "latent" });
    assert.deepEqual(output!.shape, [1, 4, 44, 84]);
    const plain = await binned.generate(APPLE, { ...options, outputType: "latent", useResolutionBinning: false });
    assert.deepEqual(plain.output!.shape, [1, 4, 38, 74]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("fromPretrained() leaves nothing allocated when a component is missing", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/model_index.json`,
      JSON.stringify({
        transformer: ["diffusers", "PixArtTransformer2DModel"],
        scheduler: ["diffusers", "DPMSolverMultistepScheduler"],
      }),
    );
    await Deno.mkdir(`${folder}/scheduler`);
    await Deno.writeTextFile(`${folder}/scheduler/scheduler_config.json`, "{}");
    await Deno.mkdir(`${folder}/transformer`);
    await Deno.copyFile(new URL("transformer/config.json", DEFAULT_MODEL), `${folder}/transformer/config.json`);
    const before = device.ledger.bytes;
    await assert.rejects(PixArtSigmaPipeline.fromPretrained(folder, { device }), WeightsError);
    assert.equal(device.ledger.bytes, before);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
