// PixArt-α's 1024 checkpoints are told the size of the picture. The pipeline against a loop in plain numbers around the network, whose
// own numbers are compared with PyTorch's elsewhere.

import assert from "node:assert/strict";
import { PixArtTransformer2DModel } from "../../src/dit/transformer.ts";
import { PixArtAlphaPipeline } from "../../src/pipelines/pixart_alpha_pipeline.ts";
import { DDIMScheduler } from "../../src/schedulers/ddim.ts";
import { device, run } from "../_device.ts";
import { assertClose, numbers } from "../_reference.ts";
import { golden } from "../_weights.ts";

const [HEIGHT, WIDTH, L, STEPS, SCALE] = [48, 80, 5, 2, 3];
const SHAPE = [1, 4, HEIGHT / 8, WIDTH / 8];
const size = SHAPE.reduce((a, b) => a * b);
const transformer = await PixArtTransformer2DModel.fromPretrained(golden("dit-alpha-micro"), { device, dtype: "f32" });
const width = transformer.config.captionChannels;
const caption = numbers(L * width, 2, 2), negative = numbers(L * width, 3, 2);
const mask = [1, 1, 1, 1, 0], negativeMask = [1, 1, 0, 0, 0];
const noise = numbers(size, 4, 1.5);

/** sqrt and the rest of what is left of a picture after a training step. */
function levels(timestep: number): [picture: number, noise: number] {
  let left = 1;
  for (let i = 0; i <= timestep; i++) left *= 1 - (0.0001 + (0.02 - 0.0001) * i / 999);
  return [Math.sqrt(left), Math.sqrt(1 - left)];
}

/** DDIM with guidance by hand, the network told this height and width. */
async function denoised(timesteps: readonly number[], [height, width]: [number, number]): Promise<Float32Array> {
  let x = noise;
  for (const [i, timestep] of timesteps.entries()) {
    const answers = await run((rec) =>
      transformer.forward(rec, {
        hiddenStates: rec.upload(Float32Array.of(...x, ...x), [2, ...SHAPE.slice(1)]),
        timestep: [timestep, timestep],
        encoderHiddenStates: rec.upload(Float32Array.of(...negative, ...caption), [
          2,
          L,
          transformer.config.captionChannels,
        ]),
        encoderAttentionMask: [...negativeMask, ...mask],
        addedCondKwargs: {
          resolution: [[height, width], [height, width]],
          aspectRatio: [height / width, height / width],
        },
      })
    );
    const [picture, spread] = levels(timestep);
    const [nextPicture, nextSpread] = i + 1 < timesteps.length ? levels(timesteps[i + 1]) : [1, 0];
    x = x.map((value, at) => {
      // Each answer has as many channels of variance behind those of noise.
      const [without, asked] = [answers[at], answers[2 * size + at]];
      const predicted = without + SCALE * (asked - without);
      return nextPicture * (value - spread * predicted) / picture + nextSpread * predicted;
    });
  }
  return x;
}

Deno.test("PixArtAlphaPipeline tells a 1024 checkpoint the height, the width and their ratio", async () => {
  const scheduler = new DDIMScheduler({ betaStart: 0.0001, betaEnd: 0.02, betaSchedule: "linear", clipSample: false });
  const pipe = new PixArtAlphaPipeline({ transformer, scheduler });
  const { output } = await pipe.generate(undefined, {
    promptEmbeds: { data: caption, shape: [1, L, width] },
    promptAttentionMask: mask,
    negativePromptEmbeds: { data: negative, shape: [1, L, width] },
    negativePromptAttentionMask: negativeMask,
    latents: { data: noise, shape: SHAPE },
    height: HEIGHT,
    width: WIDTH,
    numInferenceSteps: STEPS,
    guidanceScale: SCALE,
    useResolutionBinning: false,
    outputType: "latent",
  });
  const { timesteps } = scheduler;
  assert.equal(timesteps.length, STEPS);
  assertClose(output!.data, await denoised(timesteps, [HEIGHT, WIDTH]), 1e-4);
  const other = await denoised(timesteps, [WIDTH, HEIGHT]);
  const most = other.reduce((most, value, i) => Math.max(most, Math.abs(value - output!.data[i])), 0);
  assert.ok(most > 1e-2, `another size changes the latents by ${most} only`);
});
