// Verifies a transformer of the original repository. In: a folder with its `.pth`, the arguments of its constructor, and recorded
// inputs and outputs under the original's names. Out: a row for each output.

import { PixArtTransformer2DModel } from "../dit/transformer.ts";
import { compareFloats, notCompared, type OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";
import { runTransformer } from "./verify_transformer.ts";

/** Runs a PixArtMS or PixArt on recorded latents x [B, 4, h, w], captions y [B, 1, L, C], masks [B, 1, 1, L] and times [B]. */
export async function verifyOriginal(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  const outputs = io.outputs();
  const latents = await io.floats("in.x", 4);
  const { data, shape: [batch, , tokens, channels] } = await io.floats("in.y", 4);
  const caption = { data, shape: [batch, tokens, channels] };
  const mask = io.has("in.mask") ? await io.floats("in.mask", 4) : undefined;
  const timestep = await io.floats("in.timestep", 1);
  const device = await run.device();
  run.progress("loading the transformer");
  using model = await PixArtTransformer2DModel.fromPretrained(run.folder, {
    device,
    dtype: run.dtype,
    onWarning: run.warn,
    signal: run.signal,
  });
  run.progress("running the transformer");
  const x = await runTransformer(device, model, io, { latents, caption, mask, timestep }, "in.img_hw");
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
