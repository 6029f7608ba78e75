// The size of a picture from the ways there are to ask for one. In: options, a pipeline. Out: pixels, or nothing where the
// checkpoint's own size is meant.

import { UsageError } from "../errors.ts";
import { binTableFor, classifyHeightWidthBin } from "../pipelines/aspect_ratio_bins.ts";
import type { TextToImagePipeline } from "../pipelines/text_to_image.ts";
import type { PictureFlags } from "./picture_options.ts";

/** The options that say how large a picture is. */
export const SIZE_KEYS = ["width", "height", "aspectRatio", "hw"] as const;

type SizeFlags = Pick<PictureFlags, typeof SIZE_KEYS[number]>;

/**
 * Looks whether the options speak of one size, before any work.
 *
 * @throws {UsageError} when they contradict each other.
 */
export function checkSizeFlags({ width, height, aspectRatio, hw }: SizeFlags): void {
  const ways = [
    width !== undefined || height !== undefined ? "--width and --height" : undefined,
    aspectRatio && "--ar",
    hw && "--hw",
  ].filter((way) => way !== undefined);
  if (ways.length > 1) throw new UsageError(`Cannot size a picture as one way must say how: ${ways.join(" and ")} do`);
  if (hw && !hw.every(Number.isInteger)) {
    throw new UsageError(`Cannot paint ${hw.join(":")} as height and width must be whole pixels: they are not`);
  }
}

/** The parts of a pipeline that decide sizes. */
export type SizedPipeline = Pick<TextToImagePipeline, "defaultSize" | "vaeScaleFactor"> & {
  components: { transformer: { config: { sampleSize: number; patchSize: number } } };
};

/**
 * The size to paint. A shape alone becomes the nearest size that the model was trained for, and where no table lists those, one of
 * about the checkpoint's own area.
 *
 * @returns Pixels; a side that is missing is the checkpoint's own.
 */
export function pictureSize(
  { width, height, aspectRatio, hw }: SizeFlags,
  pipe: SizedPipeline,
): { height?: number; width?: number } {
  if (hw) return { height: hw[0], width: hw[1] };
  if (!aspectRatio) return { height, width };
  const [down, across] = aspectRatio;
  const { sampleSize, patchSize } = pipe.components.transformer.config;
  const table = binTableFor(sampleSize);
  if (table) {
    const [height, width] = classifyHeightWidthBin(down, across, table);
    return { height, width };
  }
  const own = pipe.defaultSize, multiple = pipe.vaeScaleFactor * patchSize;
  const side = (length: number) => Math.max(multiple, Math.round(length / multiple) * multiple);
  const area = own.height * own.width;
  return { height: side(Math.sqrt(area * down / across)), width: side(Math.sqrt(area * across / down)) };
}
