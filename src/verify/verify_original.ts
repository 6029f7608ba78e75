// Verifies a transformer of the original repository. In: a folder with its `.pth`, the arguments of its constructor, and recorded
// inputs and outputs under the original's names. Out: a row for each output.

import { PixArtTransformer2DModel } from "../dit/transformer.ts";
import { compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import { compute, type VerifyRun } from "./run.ts";

/** Runs a PixArtMS or PixArt on recorded latents x [B, 4, h, w], captions y [B, 1, L, C], masks [B, 1, 1, L] and times [B]. */
export async function verifyOriginal(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  const outputs = io.outputs();
  const latents = await io.floats("in.x", 4);
  const { data: caption, shape: [batch, , tokens, channels] } = await io.floats("in.y", 4);
  const mask = io.has("in.mask") ? await io.floats("in.mask", 4) : undefined;
  const { data: timestep } = await io.floats("in.timestep", 1);
  const device = await run.device();
  run.progress("loading the transformer");
  using model = await PixArtTransformer2DModel.fromPretrained(run.folder, {
    device,
    dtype: run.dtype,
    signal: run.signal,
  });
  const micro = model.config.useAdditionalConditions ? await sizeConditions(io) : undefined;
  run.progress("running the transformer");
  const [x] = await compute(device, (rec) => [
    model.forward(rec, {
      hiddenStates: rec.upload(latents.data, latents.shape),
      timestep: Array.from(timestep),
      encoderHiddenStates: rec.upload(caption, [batch, tokens, channels]),
      encoderAttentionMask: mask?.data,
      addedCondKwargs: micro,
    }),
  ]);
  const rows: OutputReport[] = [];
  for (const name of outputs) {
    rows.push(
      name === "out.x"
        ? compareFloats(name, x, await io.floats(name), run.tolerance)
        : notCompared(name, "the transformer has no such output"),
    );
  }
  return rows;
}

async function sizeConditions(io: Reference) {
  const { data: sizes } = await io.floats("in.img_hw", 2);
  const { data: ratios } = await io.floats("in.aspect_ratio");
  const resolution = Array.from(
    { length: sizes.length / 2 },
    (_, i): [number, number] => [sizes[2 * i], sizes[2 * i + 1]],
  );
  return { resolution, aspectRatio: Array.from(ratios) };
}
