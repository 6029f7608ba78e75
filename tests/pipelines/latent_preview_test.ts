// What a run tells after each step: how far it is, how long it will take, and what the latents look like.

import assert from "node:assert/strict";
import { UsageError } from "../../src/errors.ts";
import { read } from "../../src/gpu/readback.ts";
import type { Image } from "../../src/io/image.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { StepInfo } from "../../src/pipelines/generate_options.ts";
import { classifierFree } from "../../src/pipelines/guidance.ts";
import { leastSquares, previewLatents } from "../../src/pipelines/latent_preview.ts";
import { NoiseSource } from "../../src/pipelines/noise_source.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { StepClock } from "../../src/pipelines/step_clock.ts";
import { schedulerFromConfig } from "../../src/schedulers/registry.ts";
import type { AutoencoderKL } from "../../src/vae/autoencoder.ts";
import { device } from "../_device.ts";
import { numbers } from "../_reference.ts";

const pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device });
const APPLE = "a red apple on a blue background";

/** The mean of each 4 by 4 pixels: as large as a preview. */
function shrunk({ pixels, width, height }: Image): Float64Array {
  const out = new Float64Array(width * height * 3 / 16);
  pixels.forEach((value, i) => {
    const c = i % 3, x = Math.floor(i / 3) % width, y = Math.floor(i / 3 / width);
    out[(Math.floor(y / 4) * width / 4 + Math.floor(x / 4)) * 3 + c] += value / 16;
  });
  return out;
}

/** Pearson's correlation. */
function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const mean = (values: ArrayLike<number>) => Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;
  const [ma, mb] = [mean(a), mean(b)];
  let ab = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) ** 2;
    bb += (b[i] - mb) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

Deno.test("preview() shows after the last step what the decoder paints, and grows towards it", async () => {
  for (const name of ["DPMSolverMultistepScheduler", "EulerDiscreteScheduler"]) {
    const scheduler = schedulerFromConfig(pipe.components.scheduler.config, name);
    const other = new PixArtSigmaPipeline({ ...pipe.components, scheduler });
    const previews: Image[] = [];
    const { images: [image] } = await other.generate(APPLE, {
      seed: 0,
      numInferenceSteps: 8,
      onStep: async ({ preview }) => previews.push(...await preview()),
    });
    assert.equal(previews.length, 8);
    assert.deepEqual([previews[0].width, previews[0].height], [16, 16]);
    const likeness = previews.map(({ pixels }) => correlation(pixels, shrunk(image)));
    // No linear mix comes nearer to this VAE's pictures than to 0.9.
    assert.ok(likeness[7] > 0.75, `${name}: ${likeness}`);
    assert.ok(likeness[0] < likeness[4] && likeness[4] < likeness[7], `${name}: ${likeness}`);
  }
});

Deno.test("preview() takes latents as the model would, not by their noise", async () => {
  const scheduler = schedulerFromConfig(pipe.components.scheduler.config, "EulerDiscreteScheduler");
  const noise = new NoiseSource(0);
  scheduler.setTimesteps(4);
  using prompt = await pipe.encodePrompt(APPLE);
  using latents = new PixArtSigmaPipeline({ ...pipe.components, scheduler }).prepareLatents(1, pipe.defaultSize, noise);
  const options = { latents, prompt, plan: scheduler.plan(), guidance: classifierFree(4.5), noise };
  let step = 0;
  for await (const { preview } of pipe.denoise(options)) {
    const scale = 1 / Math.sqrt(scheduler.sigmas[++step] ** 2 + 1);
    using scaled = device.upload((await read(device, latents)).map((value) => value * scale), latents.shape);
    const [image] = await preview(), [expected] = await previewLatents(device, pipe.components.vae!, scaled);
    assert.ok(image.pixels.every((value, i) => Math.abs(value - expected.pixels[i]) <= 1), `step ${step}`);
  }
  assert.equal(step, 4);
});

Deno.test("previewLatents() knows the colours of the released VAEs", async () => {
  const shape = [2, 4, 1, 2];
  const data = numbers(16, 3, 2);
  using latents = device.upload(data, shape);
  const vae = (scalingFactor: number) =>
    ({ config: { latentChannels: 4, scalingFactor }, scaleFactor: 8 }) as unknown as AutoencoderKL;
  const at = (sample: number, pixel: number, c: number) => data[sample * 8 + c * 2 + pixel];
  const byte = (value: number) => Math.min(Math.max(value, 0), 255);
  // As the guide to callbacks of diffusers has it.
  const sdxl = [[60, -60, 25, -70, 150], [60, -5, 15, -50, 140], [60, 10, -5, -35, 130]];
  const sd = [[0.298, 0.187, -0.158, -0.184], [0.207, 0.286, 0.189, -0.271], [0.208, 0.173, 0.264, -0.473]]
    .map((row) => [...row.map((value) => value * 127.5), 127.5]);
  for (const [scaling, rows] of [[0.13025, sdxl], [0.18215, sd]] as const) {
    const images = await previewLatents(device, vae(scaling), latents, 0.5);
    images.forEach(({ pixels }, sample) => {
      rows.forEach(([a, b, c, d, bias], colour) => {
        for (const pixel of [0, 1]) {
          const mix = [a, b, c, d].reduce((sum, factor, i) => sum + factor * 0.5 * at(sample, pixel, i), bias);
          assert.ok(
            Math.abs(pixels[pixel * 3 + colour] - byte(mix)) <= 0.51,
            `${scaling} ${sample} ${pixel} ${colour}`,
          );
        }
      });
    });
  }
});

Deno.test("leastSquares() finds the factors that noisy values were made with", () => {
  const truth = [[1, -2], [0.5, 3], [-4, 0.25]];
  const inputs = numbers(120, 1), noise = numbers(80, 2, 0.001);
  const rows = Array.from({ length: 40 }, (_, i) => [...inputs.subarray(3 * i, 3 * i + 2), 1]);
  const values = rows.map((row, i) =>
    [0, 1].map((k) => row.reduce((sum, x, n) => sum + x * truth[n][k], noise[2 * i + k]))
  );
  leastSquares(rows, values).forEach((row, n) =>
    row.forEach((value, k) => assert.ok(Math.abs(value - truth[n][k]) < 2e-3))
  );
});

Deno.test("preview() refuses to show a step that is past, and latents whose VAE is not known", async () => {
  const { transformer, scheduler } = pipe.components;
  const bare = new PixArtSigmaPipeline({ transformer, scheduler });
  const width = transformer.config.captionChannels;
  const embeds = { data: new Float32Array(4 * width), shape: [1, 4, width] };
  const options = {
    promptEmbeds: embeds,
    promptAttentionMask: [1, 1, 1, 1],
    guidanceScale: 1,
    numInferenceSteps: 2,
    outputType: "latent",
  } as const;
  const seen: StepInfo[] = [];
  await bare.generate(undefined, {
    ...options,
    onStep: async (info) => {
      seen.push(info);
      await assert.rejects(info.preview(), /VAE must be known/);
    },
  });
  for (const { preview } of seen) await assert.rejects(preview(), UsageError);
  await assert.rejects(seen[0].preview(), /step 1 as the run must not have gone on/);
});

Deno.test("preview() frees what it took", async () => {
  const paint = () => pipe.generate(APPLE, { seed: 0, numInferenceSteps: 2, onStep: ({ preview }) => preview() });
  await paint();
  device.arena.trim();
  await device.settle();
  const before = device.ledger.bytes;
  await paint();
  device.arena.trim();
  assert.equal(device.ledger.bytes, before);
});

Deno.test("StepClock.left() goes by the steps after the first", () => {
  const clock = new StepClock(), start = performance.now();
  assert.equal(clock.left(0, 10, start), undefined);
  const first = clock.left(1, 10, start + 9000)!; // compiling
  assert.ok(Math.abs(first - 81) < 1, `${first}`);
  assert.equal(clock.left(2, 10, start + 9500), 4);
  assert.equal(clock.left(6, 10, start + 11500), 2);
  assert.equal(clock.left(10, 10, start + 13500), 0);
});

Deno.test("generate() tells the time left, step by step", async () => {
  const told: StepInfo[] = [];
  await pipe.generate(APPLE, { seed: 0, numInferenceSteps: 4, onStep: (info) => told.push(info) });
  assert.deepEqual(told.map(({ step, steps }) => [step, steps]), [[1, 4], [2, 4], [3, 4], [4, 4]]);
  assert.equal(told[0].secondsLeft, undefined);
  assert.ok(told.slice(1).every(({ secondsLeft }) => secondsLeft! > 0 && secondsLeft! < 60));
});
