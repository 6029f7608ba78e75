// Pictures in one step and in a few: the pipelines against the formulas of their papers, worked out by plain loops.

import assert from "node:assert/strict";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import { PixArtAlphaDMDPipeline } from "../../src/pipelines/pixart_alpha_dmd_pipeline.ts";
import { PixArtAlphaLCMPipeline } from "../../src/pipelines/pixart_alpha_lcm_pipeline.ts";
import { PixArtAlphaPipeline } from "../../src/pipelines/pixart_alpha_pipeline.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { Generator } from "../../src/random/generator.ts";
import { DDPMScheduler } from "../../src/schedulers/ddpm.ts";
import { LCMScheduler } from "../../src/schedulers/lcm.ts";
import { device } from "../_device.ts";
import { assertClose, numbers, relativeL2 } from "../_reference.ts";
import { ALPHAS, answer, captionsOf } from "./_answers.ts";

const sigma = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, dtype: "f32" });
const APPLE = "a red apple on a blue background";
const SHAPE = [1, 4, 16, 16];
const LATENTS = { outputType: "latent", seed: 3 } as const;

/** The clean sample that an answer stands for. */
const clean = (x: Float32Array, noise: Float32Array, t: number) =>
  x.map((value, i) => (value - Math.sqrt(1 - ALPHAS[t]) * noise[i]) / Math.sqrt(ALPHAS[t]));

Deno.test("PixArtAlphaDMDPipeline.generate() takes the clean sample that the model predicts at time 400", async () => {
  const pipe = new PixArtAlphaDMDPipeline(sigma.components);
  const [, prompt] = await captionsOf(pipe, APPLE);
  const x = new Generator(3).randn(SHAPE);
  const expected = clean(x, await answer(pipe, x, 400, prompt), 400);
  assert.ok(expected.some((value) => Math.abs(value) > 1), "nothing that clipping would change");
  const { output } = await pipe.generate(APPLE, LATENTS);
  assertClose(output!.data, expected, 1e-5);
  // diffusers' call on the plain pipeline, with its scheduler and with the checkpoint's.
  const call = { ...LATENTS, timesteps: [400], numInferenceSteps: 1, guidanceScale: 1 };
  const scheduler = new DDPMScheduler({ clipSample: false });
  for (const components of [{ ...sigma.components, scheduler }, sigma.components]) {
    const { output } = await new PixArtAlphaPipeline(components).generate(APPLE, call);
    assertClose(output!.data, expected, 1e-5);
  }
});

Deno.test("PixArtAlphaDMDPipeline does not clip where its checkpoint's scheduler would, and takes another time", async () => {
  const pipe = new PixArtAlphaDMDPipeline({ ...sigma.components, scheduler: new DDPMScheduler() });
  const [, prompt] = await captionsOf(pipe, APPLE);
  const x = new Generator(3).randn(SHAPE);
  const { output } = await pipe.generate(APPLE, { ...LATENTS, timesteps: [600] });
  assertClose(output!.data, clean(x, await answer(pipe, x, 600, prompt), 600), 1e-5);
});

/** Four steps of a consistency model, with fresh noise between them. */
async function consistent(pipe: PixArtAlphaPipeline): Promise<Float32Array> {
  const [, prompt] = await captionsOf(pipe, APPLE);
  const generator = new Generator(3);
  let x = generator.randn(SHAPE);
  for (const [i, t] of LCM_TIMES.entries()) {
    const x0 = clean(x, await answer(pipe, x, t, prompt), t);
    const scaled = t * 10;
    const skip = 0.25 / (scaled ** 2 + 0.25), out = scaled / Math.sqrt(scaled ** 2 + 0.25);
    const denoised = x0.map((value, at) => out * value + skip * x[at]);
    const next = LCM_TIMES[i + 1];
    const z = next === undefined ? undefined : generator.randn(SHAPE);
    x = z
      ? denoised.map((value, at) => Math.sqrt(ALPHAS[next]) * value + Math.sqrt(1 - ALPHAS[next]) * z[at])
      : denoised;
  }
  return x;
}
const LCM_TIMES = [999, 759, 499, 259]; // every 20th was taught; of these fifty every 12th or 13th

Deno.test("PixArtAlphaLCMPipeline.generate() takes four steps of a consistency model without guidance", async () => {
  const pipe = new PixArtAlphaLCMPipeline(sigma.components);
  const steps: number[] = [];
  const { output } = await pipe.generate(APPLE, { ...LATENTS, onStep: ({ timestep }) => steps.push(timestep) });
  assert.deepEqual(steps, LCM_TIMES);
  assertClose(output!.data, await consistent(pipe), 1e-4);
});

Deno.test("PixArtAlphaLCMPipeline.generate() samples by a LoRA, and as before without it", async () => {
  const pipe = new PixArtAlphaLCMPipeline(sigma.components);
  const folder = await Deno.makeTempDir();
  const matrix = (shape: number[], seed: number) =>
    ({ dtype: "F32", shape, data: numbers(shape[0] * shape[1], seed, 0.1) }) as const;
  const run = async () => (await pipe.generate(APPLE, LATENTS)).output!.data;
  try {
    const file = `${folder}/lcm.safetensors`;
    const module = "transformer.transformer_blocks.2.attn1.to_q";
    const tensors = {
      [`${module}.lora_A.weight`]: matrix([4, 192], 1),
      [`${module}.lora_B.weight`]: matrix([192, 4], 2),
    };
    await Deno.writeFile(file, encodeSafetensors(tensors));
    const before = await run();
    await pipe.loadLora(file);
    const made = await run();
    assertClose(made, await consistent(pipe), 1e-4);
    assert.ok(relativeL2(made, before) > 1e-3);
    await pipe.unloadLora();
    assert.deepEqual(await run(), before);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("pipelines of few steps leave the scheduler of those they share parts with, and keep one that is their own", async () => {
  const scheduler = new LCMScheduler({
    betaSchedule: "linear",
    betaStart: 0.0001,
    betaEnd: 0.02,
    originalInferenceSteps: 40,
  });
  const pipe = new PixArtAlphaLCMPipeline({ ...sigma.components, scheduler });
  assert.equal(pipe.components.scheduler, scheduler);
  assert.equal(sigma.components.scheduler.constructor.name, "DPMSolverMultistepScheduler");
  const { images: [image] } = await pipe.generate(APPLE, { numInferenceSteps: 2, seed: 0 });
  assert.deepEqual(
    [image.metadata.num_inference_steps, image.metadata.guidance_scale, image.metadata.scheduler],
    ["2", "0", "LCMScheduler"],
  );
});
