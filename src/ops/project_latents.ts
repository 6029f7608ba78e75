// projectLatents: latents become a small picture without a decoder: each colour is a mix of the channels of its latent pixel.

import source from "../../shaders/project_latents.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "project_latents", source };

/**
 * Mixes channels to colours.
 *
 * @param latents [B, C, h, w] f32.
 * @param factors [C + 1, 3] f32: red, green and blue of each channel, and of none.
 * @param scale What latents are multiplied by first.
 * @returns [B, h, w, 3] f32 in the recorder's scope.
 * @throws {ShapeError} when the two do not belong together.
 */
export function projectLatents(rec: Recorder, latents: Tensor, factors: Tensor, scale = 1): Tensor {
  const [batch, channels, height, width] = latents.shape;
  const fits = latents.shape.length === 4 && factors.shape.join() === [channels + 1, 3].join();
  if (!fits || latents.dtype !== "f32" || factors.dtype !== "f32") {
    throw new ShapeError(
      `Cannot project ${latents} by ${factors} as they must be f32 [B, C, h, w] and [C + 1, 3]: they are not`,
    );
  }
  const y = rec.tensor([batch, height, width, 3]);
  const total = batch * height * width;
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [latents, factors, y],
    params: { total, channels, pixels: height * width, scale },
    groups: linearGroups(Math.ceil(total / 64)),
  });
  return y;
}
