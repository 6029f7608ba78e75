// What the embedded checkpoint's transformer answers, for tests that take the steps themselves: in f32, one call at a time.

import { read } from "../../src/gpu/readback.ts";
import { Recorder } from "../../src/gpu/recorder.ts";
import type { TextToImagePipeline } from "../../src/pipelines/text_to_image.ts";

/** A caption's embedding with a mask that may be another's. */
export interface Asked {
  /** [L, C] */
  embeds: Float32Array;
  /** [L] */
  mask: Float32Array;
}

/** The embeddings of a negative and of a prompt, as `generate` encodes them. */
export async function captionsOf(pipe: TextToImagePipeline, prompt: string, negativePrompt = ""): Promise<Asked[]> {
  using encoded = await pipe.encodePrompt(prompt, { negativePrompt, cleanCaption: true });
  const embeds = await read(pipe.device, encoded.embeds);
  const [size, tokens] = [embeds.length / 2, encoded.mask.length / 2];
  return [0, 1].map((i) => ({
    embeds: embeds.slice(i * size, (i + 1) * size),
    mask: encoded.mask.slice(i * tokens, (i + 1) * tokens),
  }));
}

/** The answer [8, 16, 16] to latents [4, 16, 16]: the noise in them, then the numbers of its variance. */
export async function answer(pipe: TextToImagePipeline, x: Float32Array, timestep: number, { embeds, mask }: Asked) {
  const rec = new Recorder(pipe.device);
  using _scope = rec.scope();
  const output = pipe.components.transformer.forward(rec, {
    hiddenStates: rec.upload(x, [1, 4, 16, 16]),
    timestep: [timestep],
    encoderHiddenStates: rec.upload(embeds, [1, mask.length, embeds.length / mask.length]),
    encoderAttentionMask: mask,
  });
  rec.submit();
  return await read(pipe.device, output);
}

/** The share of the clean sample's variance that is left at each training step, by the definition. */
export const ALPHAS: readonly number[] = (() => {
  let product = 1;
  return Array.from({ length: 1000 }, (_, t) => product *= 1 - (0.0001 + (0.02 - 0.0001) * t / 999));
})();
