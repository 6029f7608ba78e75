// mixNoise: clean latents get the noise of a level, for all of a picture or for the part that inpainting keeps.

import source from "../../shaders/mix_noise.wgsl" with { type: "text" };
import { ShapeError } from "../errors.ts";
import { linearGroups, type Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

const KERNEL = { name: "mix_noise", source };

/** How much of the clean latents and of the noise the mix holds. */
export interface NoiseMix {
  keep: number;
  add: number;
}

/**
 * Writes keep * clean + add * noise over `x`, in place.
 *
 * @param x [B, C, h, w] f32.
 * @param clean [B, C, h, w] f32.
 * @param noise [B, C, h, w] f32.
 * @param mask [1 or B, h, w] f32: 1 leaves `x` as it is, 0 replaces it; without a mask all is replaced.
 * @throws {ShapeError} when they do not belong together.
 */
export function mixNoise(
  rec: Recorder,
  x: Tensor,
  { clean, noise, mask, keep, add }: NoiseMix & { clean: Tensor; noise: Tensor; mask?: Tensor },
): void {
  const [batch, channels, height, width] = x.shape;
  const all = [x, clean, noise, ...(mask ? [mask] : [])];
  const isSame = [clean, noise].every(({ shape }) => shape.join() === x.shape.join());
  const [masks, ...grid] = mask?.shape ?? [0, height, width];
  const isMask = [0, 1, batch].includes(masks) && grid.join() === [height, width].join();
  if (x.shape.length !== 4 || !isSame || !isMask || all.some(({ dtype }) => dtype !== "f32")) {
    throw new ShapeError(
      `Cannot mix ${clean} and ${noise} into ${x}${mask ? ` where ${mask} is 0` : ""} as latents must be f32 ` +
        `[B, C, h, w] of one shape and masks [1 or B, h, w]: they are not`,
    );
  }
  rec.dispatch(rec.device.kernel(KERNEL), {
    bindings: [clean, noise, mask, x],
    params: { total: x.size, item: channels * height * width, pixels: height * width, masks, keep, add },
    groups: linearGroups(Math.ceil(x.size / 64)),
  });
}
