// Decoding a batch image by image. In: latents [B, C, h, w]. Out: the images that the whole batch gives, in the memory of one.

import type { Recorder } from "../gpu/recorder.ts";
import type { Tensor } from "../gpu/tensor.ts";

/**
 * Decodes each sample of a batch alone.
 *
 * @param latents [B, C, h, w]
 * @param decode Decodes one: [1, C, h, w] -> [1, H, W, 3].
 * @returns [B, H, W, 3] in the recorder's scope.
 */
export function decodeSliced(rec: Recorder, latents: Tensor, decode: (latents: Tensor) => Tensor): Tensor {
  const [batch, ...sample] = latents.shape;
  if (batch === 1) return decode(latents);
  const size = latents.size / batch;
  const decodeAt = (index: number) =>
    rec.scoped(() => {
      const one = rec.tensor([1, ...sample]); // a view would not begin where a binding may
      rec.copy(latents.view(one.shape, index * size), one);
      return decode(one);
    });
  let images: Tensor | undefined;
  for (let index = 0; index < batch; index++) {
    const image = decodeAt(index);
    images ??= rec.tensor([batch, ...image.shape.slice(1)]);
    rec.copy(image, images.view(image.shape, index * image.size));
    image.dispose();
  }
  return images!;
}
