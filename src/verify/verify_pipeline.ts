// Verifies text to image as a whole. In: a folder whose index names a checkpoint and the calls that were made, and what each
// call gave. Out: a row for the latents and for the image of each call.

import { ConfigError } from "../errors.ts";
import { joinPath, readJson } from "../io/byte_source.ts";
import type { GenerateOptions, HostTensor } from "../pipelines/generate_options.ts";
import { PixArtAlphaPipeline } from "../pipelines/pixart_alpha_pipeline.ts";
import { PixArtSigmaPipeline } from "../pipelines/pixart_sigma_pipeline.ts";
import type { TextToImagePipeline } from "../pipelines/text_to_image.ts";
import { compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";

/** Arguments of diffusers' call, and what they are called here. */
const ARGUMENTS: Record<string, keyof GenerateOptions> = {
  negative_prompt: "negativePrompt",
  num_inference_steps: "numInferenceSteps",
  timesteps: "timesteps",
  sigmas: "sigmas",
  guidance_scale: "guidanceScale",
  num_images_per_prompt: "numImagesPerPrompt",
  height: "height",
  width: "width",
  eta: "eta",
  seed: "seed",
  clean_caption: "cleanCaption",
  use_resolution_binning: "useResolutionBinning",
  max_sequence_length: "maxSequenceLength",
};

/** Inputs that a call's file may hold in place of a prompt and a seed. */
const TENSORS: Record<string, keyof GenerateOptions> = {
  "in.latents": "latents",
  "in.prompt_embeds": "promptEmbeds",
  "in.prompt_attention_mask": "promptAttentionMask",
  "in.negative_prompt_embeds": "negativePromptEmbeds",
  "in.negative_prompt_attention_mask": "negativePromptAttentionMask",
};

type Case = Record<string, unknown> & { file: string; prompt?: string | string[] };

/** Makes every call of `index.json` and compares its latents and its image, [B, 3, H, W] in 0..1. */
export async function verifyPipeline(run: VerifyRun): Promise<OutputReport[]> {
  const path = joinPath(run.folder, "index.json");
  const { checkpoint, cases } = await readJson(path) as { checkpoint: unknown; cases: unknown };
  const isCase = (entry: unknown) => typeof (entry as Case | null)?.file === "string";
  if (typeof checkpoint !== "string" || !Array.isArray(cases) || cases.length === 0 || !cases.every(isCase)) {
    throw new ConfigError(
      `Cannot verify by ${path} as it must name a checkpoint and cases with a file each: it does not`,
    );
  }
  const device = await run.device();
  const Pipeline = run.name === "PixArtAlphaPipeline" ? PixArtAlphaPipeline : PixArtSigmaPipeline;
  using pipe: TextToImagePipeline = await Pipeline.fromPretrained(joinPath(run.folder, checkpoint), {
    device,
    dtype: run.dtype,
    onWarning: run.warn,
    signal: run.signal,
    onProgress: ({ component }) => run.progress(`loading the pipeline: ${component}`),
  });
  const rows: OutputReport[] = [];
  for (const [i, entry] of (cases as Case[]).entries()) {
    run.progress(`making picture ${i + 1} of ${cases.length}`);
    using io = await Reference.open(run.folder, entry.file);
    const found = await verifyCase(run, pipe, entry, io);
    const name = entry.file.replace(/\.safetensors$/, "");
    rows.push(...found.map((row) => ({ ...row, name: `${name}/${row.name}` })));
  }
  return rows;
}

async function verifyCase(
  run: VerifyRun,
  pipe: TextToImagePipeline,
  entry: Case,
  io: Reference,
): Promise<OutputReport[]> {
  const outputs = io.outputs();
  const { file: _file, prompt, ...given } = entry;
  const unknown = Object.keys(given).filter((key) => !Object.hasOwn(ARGUMENTS, key));
  if (unknown.length > 0) return outputs.map((name) => notCompared(name, `not implemented: ${unknown.join(", ")}`));
  const options: GenerateOptions = { signal: run.signal };
  const set = (key: keyof GenerateOptions, value: unknown) => Object.assign(options, { [key]: value });
  for (const [key, value] of Object.entries(given)) set(ARGUMENTS[key], value);
  for (const name of Object.keys(TENSORS).filter((name) => io.has(name))) {
    const tensor = await io.floats(name);
    set(TENSORS[name], name.endsWith("_mask") ? tensor.data : tensor);
  }
  const { output: latents } = await pipe.generate(prompt, { ...options, outputType: "latent" });
  const image = async (): Promise<HostTensor> => {
    // Resolution binning ends with a resize that decoding alone does not know of.
    const { output } = options.useResolutionBinning === false
      ? await pipe.decode(latents!, { outputType: "pt" })
      : await pipe.generate(prompt, { ...options, outputType: "pt" });
    return output!;
  };
  const rows: OutputReport[] = [];
  for (const name of outputs) {
    const known = name === "out.latents" ? latents! : name === "out.image" ? await image() : undefined;
    rows.push(
      known
        ? compareFloats(name, known, await io.floats(name), run.tolerance)
        : notCompared(name, "the pipeline has no such output"),
    );
  }
  return rows;
}
