// Image to image and inpainting on the embedded checkpoint. There are no recorded pictures to compare with: what is compared is what
// must be equal, and the numbers that plain loops on the host make of the same noise.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import { Image } from "../../src/io/image.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { GenerateOptions } from "../../src/pipelines/generate_options.ts";
import { classifierFree } from "../../src/pipelines/guidance.ts";
import { NoiseSource } from "../../src/pipelines/noise_source.ts";
import { PixArtAlphaPipeline } from "../../src/pipelines/pixart_alpha_pipeline.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { Generator } from "../../src/random/generator.ts";
import { schedulerFromConfig, SCHEDULERS } from "../../src/schedulers/registry.ts";
import { device } from "../_device.ts";
import { assertClose, relativeL2 } from "../_reference.ts";

const pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, dtype: "f32" });
const vae = pipe.components.vae!;
const APPLE = "a red apple on a blue background", LEMON = "a lemon on a blue background";
const { images: [apple, cactus] } = await pipe.generate([APPLE, "a cactus on pink"], { seed: 0, numInferenceSteps: 8 });

/** A mask 64 pixels a side: white where `paints` says so. */
function maskOf(paints: (x: number, y: number) => boolean): Image {
  const pixels = new Uint8Array(64 * 64 * 3).map((_, i) =>
    paints(Math.floor(i / 3) % 64, Math.floor(i / 192)) ? 255 : 0
  );
  return new Image({ width: 64, height: 64, pixels });
}
const EMPTY = maskOf(() => false), FULL = maskOf(() => true), RIGHT = maskOf((x) => x >= 32);

async function latentsOf(prompt: string | string[], options: GenerateOptions, from = pipe): Promise<Float32Array> {
  const call = { seed: 5, numInferenceSteps: 4, outputType: "latent", ...options } as const;
  return (await from.generate(prompt, call)).output!.data;
}

const SIZE = 4 * 16 * 16;

/** The latents of a picture and the noise of a run, drawn in diffusers' order: by plain loops from the encoder's numbers. */
async function cleanOf(image: Image, generator: Generator): Promise<Float32Array> {
  const rec = new Recorder(device);
  using _scope = rec.scope();
  const numbers = Float32Array.from(
    { length: 3 * 4096 },
    (_, i) => image.pixels[3 * (i % 4096) + Math.floor(i / 4096)] / 127.5 - 1,
  );
  const encoded = vae.encode(rec, rec.upload(numbers, [1, 3, 64, 64]));
  rec.submit();
  const moments = await read(device, encoded);
  const z = generator.randn([1, 4, 16, 16]);
  return Float32Array.from({ length: SIZE }, (_, i) => {
    const c = Math.floor(i / 256), pixel = i % 256;
    const logvar = Math.min(Math.max(moments[pixel * 8 + 4 + c], -30), 20);
    return (moments[pixel * 8 + c] + Math.exp(logvar / 2) * z[i]) * vae.config.scalingFactor;
  });
}

Deno.test("generate() gives an image back as the VAE sees it at strength 0, with and without a mask", async () => {
  const clean = await cleanOf(apple, new Generator(5));
  for (const maskImage of [undefined, EMPTY, FULL, RIGHT]) {
    assertClose(await latentsOf(LEMON, { image: apple, maskImage, strength: 0 }), clean, 1e-5);
  }
  const { images: [again] } = await pipe.generate(LEMON, { image: apple, strength: 0, seed: 5 });
  const difference = relativeL2(again.pixels, apple.pixels);
  assert.ok(difference < 0.1, `${difference}`);
});

Deno.test("generate() starts image to image from the image with the noise of its first step", async () => {
  const generator = new Generator(5);
  const clean = await cleanOf(apple, generator), noise = generator.randn([1, 4, 16, 16]);
  const { scheduler } = pipe.components;
  scheduler.setTimesteps(4);
  const plan = scheduler.plan({ begin: 1 }); // 3 of 4 steps
  const started = scheduler.addNoise(clean, noise, [scheduler.timesteps[1]]);
  using prompt = await pipe.encodePrompt(LEMON, { cleanCaption: true });
  using latents = device.upload(started, [1, 4, 16, 16]);
  const run = pipe.denoise({ latents, prompt, plan, guidance: classifierFree(4.5), noise: new NoiseSource(0) });
  for await (const _ of run);
  const expected = await read(device, latents);
  assertClose(await latentsOf(LEMON, { image: apple, strength: 0.75 }), expected, 1e-5);
  // 0.8 of 4 steps are three whole ones.
  assertClose(await latentsOf(LEMON, { image: apple }), expected, 1e-5);
});

Deno.test("generate() makes with a full mask what it makes of the same noise from the prompt alone", async () => {
  const latents = { data: new Generator(7).randn([1, 4, 16, 16]), shape: [1, 4, 16, 16] };
  for (const name of ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler", "HeunDiscreteScheduler"]) {
    const scheduler = schedulerFromConfig(pipe.components.scheduler.config, name);
    const other = new PixArtSigmaPipeline({ ...pipe.components, scheduler });
    const alone = await latentsOf(LEMON, { latents }, other);
    assert.deepEqual(await latentsOf(LEMON, { latents, image: apple, maskImage: FULL }, other), alone, name);
  }
});

Deno.test("generate() keeps what the mask keeps and paints the rest, with every scheduler", async () => {
  const clean = await cleanOf(apple, new Generator(5));
  const isKept = (i: number) => i % 16 < 8;
  const kept = clean.filter((_, i) => isKept(i)), other = clean.filter((_, i) => !isKept(i));
  const { scheduler: { config } } = pipe.components;
  for (const name of Object.keys(SCHEDULERS)) {
    const isOriginal = ["DPMS", "IDDPM", "SASolverSampler"].includes(name);
    const options = {
      ...config,
      skipPrkSteps: true,
      varianceType: name === "DDPMScheduler" ? "fixed_small" : null,
      clipSample: false,
    };
    const scheduler = schedulerFromConfig(isOriginal ? {} : options, name);
    const from = new PixArtSigmaPipeline({ ...pipe.components, scheduler });
    const made = await latentsOf(LEMON, { image: apple, maskImage: RIGHT, strength: 0.5, numInferenceSteps: 12 }, from);
    assert.ok(made.every(Number.isFinite), name);
    assertClose(made.filter((_, i) => isKept(i)), kept, 1e-5, name);
    const painted = made.filter((_, i) => !isKept(i));
    assert.ok(relativeL2(painted, other) > 0.05, `${name}: nothing was painted`);
    const deviation = Math.sqrt(painted.reduce((sum, value) => sum + value ** 2, 0) / painted.length);
    assert.ok(deviation > 0.5 && deviation < 3, `${name}: ${deviation}`);
  }
});

Deno.test("denoise() gives the kept part the noise of the next step after each step", async () => {
  const shape = [1, 4, 16, 16];
  const clean = new Generator(1).randn(shape), noise = new Generator(2).randn(shape);
  const mask = Float32Array.from({ length: 256 }, (_, i) => i % 3 === 0 ? 1 : 0);
  const scheduler = schedulerFromConfig(pipe.components.scheduler.config, "EulerDiscreteScheduler");
  scheduler.setTimesteps(4);
  using prompt = await pipe.encodePrompt(LEMON);
  using scope = device.arena.scope();
  const rec = new Recorder(device).within(scope);
  const kept = {
    clean: rec.upload(clean, shape),
    noise: rec.upload(noise, shape),
    mask: rec.upload(mask, [1, 16, 16]),
    levels: [...scheduler.sigmas.slice(1)].map((add) => ({ keep: 1, add })),
  };
  using latents = device.upload(noise, shape);
  const options = {
    latents,
    prompt,
    plan: scheduler.plan(),
    guidance: classifierFree(4.5),
    noise: new NoiseSource(0),
    kept,
  };
  let step = 0;
  for await (const _ of pipe.denoise(options)) {
    const sigma = scheduler.sigmas[++step];
    const now = await read(device, latents);
    const isKept = (_: number, i: number) => mask[i % 256] === 0;
    assertClose(
      now.filter(isKept),
      clean.map((value, i) => value + sigma * noise[i]).filter(isKept),
      1e-5,
      `step ${step}`,
    );
  }
  assert.equal(step, 4);
});

Deno.test("generate() takes a mask by the pixel in the corner of each latent pixel, and light grey as white", async () => {
  const clean = await cleanOf(apple, new Generator(5));
  const grey = (x: number, y: number) => x % 4 === 0 && y % 4 === 0 ? 128 : 0;
  const speckled = new Image({
    width: 64,
    height: 64,
    pixels: new Uint8Array(64 * 64 * 3).map((_, i) => grey(Math.floor(i / 3) % 64, Math.floor(i / 192))),
  });
  const full = await latentsOf(LEMON, { image: apple, maskImage: FULL });
  assert.deepEqual(await latentsOf(LEMON, { image: apple, maskImage: speckled }), full);
  // One pixel aside it is black, and so is a grey a little darker.
  const shifted = maskOf((x, y) => x % 4 === 1 && y % 4 === 0);
  const dark = new Image({ ...speckled, pixels: speckled.pixels.map((value) => value && 127) });
  for (const maskImage of [shifted, dark]) {
    assertClose(await latentsOf(LEMON, { image: apple, maskImage }), clean, 1e-5);
  }
  // A small mask is stretched.
  const small = new Image({ width: 2, height: 1, pixels: Uint8Array.of(0, 0, 0, 255, 255, 255) });
  assert.deepEqual(
    await latentsOf(LEMON, { image: apple, maskImage: small }),
    await latentsOf(LEMON, { image: apple, maskImage: RIGHT }),
  );
});

Deno.test("generate() gives each picture of a batch its own image, mask and noise", async () => {
  const prompts = [LEMON, "a frog"], options = { strength: 0.75, seed: [1, 2, 3, 4], numImagesPerPrompt: 2 };
  for (const masks of [undefined, [RIGHT, FULL]]) {
    const all = await latentsOf(prompts, { ...options, image: [apple, cactus], maskImage: masks });
    for (const [i, seed] of options.seed.entries()) {
      const which = Math.floor(i / 2);
      const alone = await latentsOf(prompts[which], {
        strength: 0.75,
        seed,
        image: [apple, cactus][which],
        maskImage: masks?.[which],
      });
      assertClose(all.subarray(i * SIZE, (i + 1) * SIZE), alone, 1e-4, `picture ${i}`);
    }
  }
});

Deno.test("generate() paints at the size of its image, cut to what the model can paint", async () => {
  const wide = new Image({ width: 101, height: 51, pixels: new Uint8Array(101 * 51 * 3).fill(90) });
  const { images: [image] } = await pipe.generate(LEMON, { image: wide, strength: 0.5, numInferenceSteps: 2 });
  assert.deepEqual([image.width, image.height], [96, 48]);
  const { images: [small] } = await pipe.generate(LEMON, {
    image: wide,
    strength: 0.5,
    numInferenceSteps: 2,
    width: 64,
    height: 64,
  });
  assert.deepEqual([small.width, small.height, small.metadata.strength], [64, 64, "0.5"]);
});

Deno.test("PixArtAlphaPipeline and guidance of other kinds start from images, too", async () => {
  const alpha = new PixArtAlphaPipeline(pipe.components);
  const options = { image: apple, maskImage: RIGHT, seed: 5, numInferenceSteps: 4, outputType: "latent" } as const;
  const { output } = await alpha.generate(LEMON, options);
  assert.ok(relativeL2(output!.data, await latentsOf(LEMON, options)) < 1e-6);
  const clean = await cleanOf(apple, new Generator(5));
  for (const other of [{ guidanceScale: 1 }, { pagScale: 2 }, { guidanceVariant: "original" }] as const) {
    const made = await latentsOf(LEMON, { ...options, ...other });
    assertClose(made.filter((_, i) => i % 16 < 8), clean.filter((_, i) => i % 16 < 8), 1e-5, JSON.stringify(other));
  }
});

Deno.test("generate() frees what a run from an image took, done or stopped at any point", async () => {
  const options = { image: apple, maskImage: RIGHT };
  await latentsOf(LEMON, options);
  device.arena.trim();
  await device.settle();
  const before = device.ledger.bytes;
  for (const last of [1, 3]) {
    const controller = new AbortController();
    const onStep = ({ step }: { step: number }) => step === last && controller.abort(new Error("enough"));
    await assert.rejects(latentsOf(LEMON, { ...options, signal: controller.signal, onStep }), /enough/);
    device.arena.trim();
    assert.equal(device.ledger.bytes, before);
  }
  await latentsOf(LEMON, options);
  device.arena.trim();
  assert.equal(device.ledger.bytes, before);
});

Deno.test("generate() refuses images, masks and strengths that do not fit", async () => {
  const wrong: [GenerateOptions, RegExp][] = [
    [{ maskImage: RIGHT }, /maskImage goes with an image: none/],
    [{ strength: 0.5 }, /strength goes with an image: none/],
    [{ image: apple, strength: 1.1 }, /strength must be from 0 to 1: 1.1/],
    [{ image: apple, strength: NaN }, /strength must be from 0 to 1/],
    [{ image: [] }, /images must be one or as many as prompts: 0 for 1/],
    [{ image: [apple, apple] }, /images must be one or as many as prompts: 2 for 1/],
    [{ image: apple, maskImage: [RIGHT, RIGHT, RIGHT] }, /masks must be one or as many as prompts: 3 for 1/],
  ];
  for (const [options, message] of wrong) {
    await assert.rejects(pipe.generate(APPLE, options), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, message);
      return true;
    });
  }
  const { vae: _, ...others } = pipe.components;
  await assert.rejects(new PixArtSigmaPipeline(others).generate(APPLE, { image: apple }), /needs a VAE/);
});
