// Pictures from anywhere. In: a path, a URL or bytes of a PNG, a JPEG or a WebP. Out: an upright RGB Image.

import { UsageError, WeightsError } from "../errors.ts";
import { type OpenOptions, readBytes } from "./byte_source.ts";
import { orientationOf, type Pixels, upright } from "./exif_orientation.ts";
import { decodePng, Image } from "./image.ts";
import { decodeJpeg } from "./jpeg.ts";
import { readPngChunk } from "./png.ts";
import { decodeWebp } from "./webp.ts";

/**
 * Loads a picture: PNG, JPEG or WebP of any colour type. Alpha is dropped, and the picture is turned as its EXIF says.
 *
 * @param from A path, a URL, or the bytes of the file.
 * @throws {UsageError} when nothing readable is there, or it is no such picture, damaged or too large.
 * @example
 * ```ts
 * import { Image } from "./image.ts";
 * import { loadImage } from "./load_image.ts";
 * const red = new Image({ width: 2, height: 1, pixels: Uint8Array.of(255, 0, 0, 255, 0, 0) });
 * const again = await loadImage(await red.encode());
 * console.assert(again.width === 2 && again.pixels[0] === 255);
 * ```
 */
export async function loadImage(from: string | URL | Uint8Array, options: OpenOptions = {}): Promise<Image> {
  return decodeImage(from instanceof Uint8Array ? from : await bytesAt(from, options));
}

async function bytesAt(address: string | URL, options: OpenOptions): Promise<Uint8Array> {
  try {
    return await readBytes(address, options);
  } catch (error) {
    if (error instanceof WeightsError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

function decodeImage(bytes: Uint8Array): Image {
  const starts = (magic: readonly number[], at = 0) => magic.every((byte, i) => bytes[at + i] === byte);
  if (starts([0x89, 0x50, 0x4e, 0x47])) {
    const image = decodePng(bytes);
    return turned(image, orientationOf(readPngChunk(bytes, "eXIf")), image.metadata);
  }
  const isWebp = starts([0x52, 0x49, 0x46, 0x46]) && starts([0x57, 0x45, 0x42, 0x50], 8);
  if (!isWebp && !starts([0xff, 0xd8])) {
    const start = Array.from(bytes.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new UsageError(`Cannot decode ${bytes.length} bytes as a picture must be PNG, JPEG or WebP: begins ${start}`);
  }
  const { orientation, ...pixels } = isWebp ? decodeWebp(bytes) : decodeJpeg(bytes);
  return turned(pixels, orientation);
}

function turned(pixels: Pixels, orientation: number, metadata?: Record<string, string>): Image {
  return new Image({ ...upright(pixels, orientation), metadata });
}
