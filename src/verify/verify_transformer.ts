// Verifies a transformer. In: a folder with its weights and recorded inputs and outputs. Out: a row for each output.

import { PixArtTransformer2DModel } from "../dit/transformer.ts";
import { compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import { compute, type VerifyRun } from "./run.ts";

/** Runs a PixArt transformer on recorded latents [B, 4, h, w], captions [B, L, C] and times [B]. */
export async function verifyTransformer(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  const outputs = io.outputs();
  const latents = await io.floats("in.hidden_states", 4);
  const caption = await io.floats("in.encoder_hidden_states", 3);
  const mask = io.has("in.encoder_attention_mask") ? await io.floats("in.encoder_attention_mask", 2) : undefined;
  const { data: timestep } = await io.floats("in.timestep");
  const device = await run.device();
  run.progress("loading the transformer");
  using model = await PixArtTransformer2DModel.fromPretrained(run.folder, {
    device,
    dtype: run.dtype,
    signal: run.signal,
  });
  const micro = model.config.useAdditionalConditions ? await sizeConditions(io) : undefined;
  run.progress("running the transformer");
  const [sample] = await compute(device, (rec) => [
    model.forward(rec, {
      hiddenStates: rec.upload(latents.data, latents.shape),
      timestep: Array.from(timestep),
      encoderHiddenStates: rec.upload(caption.data, caption.shape),
      encoderAttentionMask: mask?.data,
      addedCondKwargs: micro,
    }),
  ]);
  const rows: OutputReport[] = [];
  for (const name of outputs) {
    rows.push(
      name === "out.sample"
        ? compareFloats(name, sample, await io.floats(name), run.tolerance)
        : notCompared(name, "the transformer has no such output"),
    );
  }
  return rows;
}

async function sizeConditions(io: Reference) {
  const { data: sizes } = await io.floats("in.resolution", 2);
  const { data: ratios } = await io.floats("in.aspect_ratio");
  const resolution = Array.from(
    { length: sizes.length / 2 },
    (_, i): [number, number] => [sizes[2 * i], sizes[2 * i + 1]],
  );
  return { resolution, aspectRatio: Array.from(ratios) };
}
