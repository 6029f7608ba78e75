// Guidance as the original repository has it, against plain loops and against what diffusers' guidance makes of the same masks.

import assert from "node:assert/strict";
import { DEFAULT_MODEL } from "../../src/pipelines/default_model.ts";
import type { GuidanceVariant } from "../../src/pipelines/guidance.ts";
import { PixArtSigmaPipeline } from "../../src/pipelines/pixart_sigma_pipeline.ts";
import { Generator } from "../../src/random/generator.ts";
import { DPMS } from "../../src/schedulers/original_dpms.ts";
import { IDDPM } from "../../src/schedulers/original_iddpm.ts";
import { device } from "../_device.ts";
import { assertClose, relativeL2 } from "../_reference.ts";
import { ALPHAS, answer, captionsOf } from "./_answers.ts";

const pipe = await PixArtSigmaPipeline.fromPretrained(DEFAULT_MODEL, { device, dtype: "f32" });
const iddpm = new PixArtSigmaPipeline({ ...pipe.components, scheduler: new IDDPM() });
const dpms = new PixArtSigmaPipeline({ ...pipe.components, scheduler: new DPMS() });
const APPLE = "a red apple on a blue background";
const CALL = { seed: 3, numInferenceSteps: 3, guidanceScale: 4.5, outputType: "latent" } as const;

/** IDDPM of the original repository: its respaced posterior, and guidance of some channels only. */
async function sampled(guided: number, sharesMask: boolean): Promise<Float32Array> {
  const [negative, prompt] = await captionsOf(iddpm, APPLE);
  const without = { ...negative, mask: sharesMask ? prompt.mask : negative.mask };
  const generator = new Generator(3);
  let x = generator.randn([1, 4, 16, 16]);
  const times = [999, 500, 0];
  for (const [i, t] of times.entries()) {
    const [u, c] = [await answer(iddpm, x, t, without), await answer(iddpm, x, t, prompt)];
    const output = c.map((value, at) => Math.floor(at / 256) < guided ? u[at] + 4.5 * (value - u[at]) : value);
    const previous = i === 2 ? 1 : ALPHAS[times[i + 1]];
    const alpha = ALPHAS[t] / previous, beta = 1 - alpha;
    const z = generator.randn([1, 4, 16, 16]);
    x = x.map((value, at) => {
      const x0 = (value - Math.sqrt(1 - ALPHAS[t]) * output[at]) / Math.sqrt(ALPHAS[t]);
      const mean = beta * Math.sqrt(previous) / (1 - ALPHAS[t]) * x0 +
        (1 - previous) * Math.sqrt(alpha) / (1 - ALPHAS[t]) * value;
      if (i === 2) return mean;
      const share = (output[1024 + at] + 1) / 2;
      const least = beta * (1 - previous) / (1 - ALPHAS[t]);
      return mean + Math.exp((share * Math.log(beta) + (1 - share) * Math.log(least)) / 2) * z[at];
    });
  }
  return x;
}

Deno.test("generate() guides three channels of IDDPM with the prompt's mask as the original does, and all as diffusers does", async () => {
  const made = async (guidanceVariant?: GuidanceVariant) =>
    (await iddpm.generate(APPLE, { ...CALL, guidanceVariant })).output!.data;
  const original = await sampled(3, true), diffusers = await sampled(8, false);
  assert.ok(relativeL2(original, diffusers) > 0.01);
  assertClose(await made("original"), original, 1e-4);
  assertClose(await made("diffusers"), diffusers, 1e-4);
  assertClose(await made(), diffusers, 1e-4);
});

Deno.test("generate() guides all channels of the original's other samplers, with the prompt's mask", async () => {
  const { output: original } = await dpms.generate(APPLE, { ...CALL, guidanceVariant: "original" });
  const [negative, prompt] = await captionsOf(dpms, APPLE);
  const shape = [1, prompt.mask.length, prompt.embeds.length / prompt.mask.length];
  const withMask = async (mask: Float32Array) =>
    (await dpms.generate(undefined, {
      ...CALL,
      promptEmbeds: { data: prompt.embeds, shape },
      promptAttentionMask: prompt.mask,
      negativePromptEmbeds: { data: negative.embeds, shape },
      negativePromptAttentionMask: mask,
    })).output!.data;
  assertClose(original!.data, await withMask(prompt.mask), 1e-5);
  assert.ok(relativeL2(original!.data, await withMask(negative.mask)) > 1e-3);
});

Deno.test("generate() refuses a guidance of nobody's, and names the original's in its pictures", async () => {
  await assert.rejects(
    pipe.generate(APPLE, { guidanceVariant: "mine" as "original" }),
    /guidanceVariant must be diffusers or original: mine/,
  );
  const { images: [image] } = await pipe.generate(APPLE, { numInferenceSteps: 1, guidanceVariant: "original" });
  assert.equal(image.metadata.guidance_variant, "original");
});
