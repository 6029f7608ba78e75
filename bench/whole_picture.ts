// How long a whole picture takes with the real networks, once their weights are there: prompt, steps, decoding, pixels on the host.
// In: a device. Out: seconds. A CPU paints a small one in a few steps, and is spared the text encoder, as is who has little time.

import { fileURLToPath } from "node:url";
import type { Device } from "../src/gpu/device.ts";
import { PixArtSigmaPipeline } from "../src/pipelines/pixart_sigma_pipeline.ts";
import { DPMSolverMultistepScheduler } from "../src/schedulers/dpm_solver_multistep.ts";
import { T5Tokenizer } from "../src/text/tokenizer.ts";
import { numbers } from "../src/tune/work.ts";
import { CAPTION } from "./cases/block.ts";
import { autoencoder, textEncoder, transformer } from "./cases/random_networks.ts";
import type { WholePicture } from "./report.ts";

const TOKENIZER = fileURLToPath(new URL("../tests/golden/tokenizer/", import.meta.url));
const PROMPT = "a small cactus with a happy face in the Sahara desert";

/** What is painted, and with how many of T5's 24 blocks; with none, its embeddings are given. */
export interface PictureExtents {
  size: number;
  steps: number;
  blocks: number;
}

/** What a device is asked to paint. */
export function extentsFor({ software }: Device, { withText }: { withText: boolean }): PictureExtents {
  return software ? { size: 256, steps: 2, blocks: 0 } : { size: 1024, steps: 20, blocks: withText ? 24 : 0 };
}

/** Paints it twice: the first time, kernels are compiled. */
export async function wholePicture(
  device: Device,
  signal: AbortSignal,
  { size, steps, blocks }: PictureExtents,
): Promise<WholePicture> {
  const encoder = textEncoder(blocks, 32128);
  using owned = new DisposableStack();
  const net = owned.use(await transformer(size).open(device));
  const vae = owned.use(await autoencoder().open(device));
  const parts = { transformer: net, vae, scheduler: DPMSolverMultistepScheduler.fromConfig({}) };
  const pipe = new PixArtSigmaPipeline(
    blocks === 0 ? parts : {
      ...parts,
      textEncoder: owned.use(await encoder.open(device)),
      tokenizer: await T5Tokenizer.fromPretrained(TOKENIZER),
    },
  );
  const shape = [1, CAPTION, encoder.config.dModel];
  const embeds = (seed: number) => ({ data: numbers(shape[1] * shape[2], seed, 0.1), shape });
  const mask = new Array<number>(CAPTION).fill(1);
  const given = blocks > 0 ? {} : {
    ...{ promptEmbeds: embeds(1), promptAttentionMask: mask },
    ...{ negativePromptEmbeds: embeds(2), negativePromptAttentionMask: mask },
  };
  const paint = async () => {
    const start = performance.now();
    const options = { seed: 0, numInferenceSteps: steps, width: size, height: size, signal, ...given };
    await pipe.generate(blocks === 0 ? undefined : PROMPT, options);
    return performance.now() - start;
  };
  const firstMs = await paint();
  return { size, steps, textEncoder: blocks > 0, firstMs, againMs: await paint() };
}
