// samplePosterior: an encoder's moments and normal numbers become latents, as a transformer takes them.

import source from "../../shaders/sample_posterior.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "sample_posterior", source };

/**
 * Draws latents: (mean + deviation * noise - shift) * scale.
 *
 * @param moments [B, h, w, 2 C] f32: means, then log-variances, which are clamped to -30..20.
 * @param noise [B, C, h, w] f32, standard normal numbers.
 * @returns [B, C, h, w] f32 in the recorder's scope.
 * @throws {ShapeError} when the two do not belong together.
 */
export function samplePosterior(
  rec: Recorder,
  moments: Tensor,
  noise: Tensor,
  { scale = 1, shift = 0 }: { scale?: number; shift?: number } = {},
): Tensor {
  const [batch, height, width, twice] = moments.shape;
  const shape = [batch, twice / 2, height, width];
  const fits = moments.shape.length === 4 && noise.shape.join() === shape.join();
  if (!fits || moments.dtype !== "f32" || noise.dtype !== "f32") {
    throw new ShapeError(
      `Cannot sample ${moments} by ${noise} as they must be f32 [B, h, w, 2 C] and [B, C, h, w]: they are not`,
    );
  }
  const latents = rec.tensor(shape);
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [moments, noise, latents],
    params: { total: latents.size, channels: shape[1], pixels: height * width, scale, shift },
    groups: linearGroups(Math.ceil(latents.size / 64)),
  });
  return latents;
}
