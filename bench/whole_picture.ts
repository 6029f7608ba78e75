// How long a whole picture takes with the real networks, once their weights are there: prompt, steps, decoding, pixels on the host.
// In: a device. Out: seconds. A CPU paints a small one in a few steps, and is spared the text encoder.

import { fileURLToPath } from "node:url";
import type { Device } from "../src/gpu/device.ts";
import { PixArtSigmaPipeline } from "../src/pipelines/pixart_sigma_pipeline.ts";
import { DPMSolverMultistepScheduler } from "../src/schedulers/dpm_solver_multistep.ts";
import { T5Tokenizer } from "../src/text/tokenizer.ts";
import { numbers } from "../tests/_reference.ts";
import { CAPTION } from "./cases/block.ts";
import { autoencoder, textEncoder, transformer } from "./cases/random_networks.ts";
import type { WholePicture } from "./report.ts";

const TOKENIZER = fileURLToPath(new URL("../tests/golden/tokenizer/", import.meta.url));
const PROMPT = "a small cactus with a happy face in the Sahara desert";

/** Paints it twice: the first time, kernels are compiled. */
export async function wholePicture(device: Device, signal: AbortSignal): Promise<WholePicture> {
  const { size, steps } = device.software ? { size: 256, steps: 2 } : { size: 1024, steps: 20 };
  const encoder = textEncoder(24, 32128);
  const [net, vae] = [await transformer(size).open(device), await autoencoder().open(device)];
  const textModel = device.software ? undefined : await encoder.open(device);
  using owned = new DisposableStack();
  for (const model of [net, vae, textModel]) if (model) owned.use(model);
  const pipe = new PixArtSigmaPipeline({
    transformer: net,
    vae,
    textEncoder: textModel,
    tokenizer: textModel && await T5Tokenizer.fromPretrained(TOKENIZER),
    scheduler: DPMSolverMultistepScheduler.fromConfig({}),
  });
  const embeds = (seed: number) => ({
    data: numbers(CAPTION * encoder.config.dModel, seed, 0.1),
    shape: [1, CAPTION, encoder.config.dModel],
  });
  const given = textModel ? {} : { promptEmbeds: embeds(1), negativePromptEmbeds: embeds(2) };
  const paint = async () => {
    const start = performance.now();
    const options = { seed: 0, numInferenceSteps: steps, width: size, height: size, signal, ...given };
    await pipe.generate(textModel ? PROMPT : undefined, options);
    return performance.now() - start;
  };
  const firstMs = await paint();
  return { size, steps, textEncoder: textModel !== undefined, firstMs, againMs: await paint() };
}
