// Verifies a transformer of the original repository. In: a folder with its `.pth`, the arguments of its constructor, and recorded
// inputs and outputs under the original's names. Out: a row for each output.

import type { OutputReport } from "./compare.ts";
import { Reference } from "./reference.ts";
import type { VerifyRun } from "./run.ts";
import { verifyForward } from "./verify_transformer.ts";

/** Runs a PixArtMS or PixArt on recorded latents x [B, 4, h, w], captions y [B, 1, L, C], masks [B, 1, 1, L] and times [B]. */
export async function verifyOriginal(run: VerifyRun): Promise<OutputReport[]> {
  using io = await Reference.open(run.folder);
  io.outputs(); // none is an error that comes before all work
  const latents = await io.floats("in.x", 4);
  const { data, shape: [batch, , tokens, channels] } = await io.floats("in.y", 4);
  const caption = { data, shape: [batch, tokens, channels] };
  const mask = io.has("in.mask") ? await io.floats("in.mask", 4) : undefined;
  const timestep = await io.floats("in.timestep", 1);
  const names = { output: "out.x", sizes: "in.img_hw" };
  return await verifyForward(run, io, { latents, caption, mask, timestep }, names);
}
