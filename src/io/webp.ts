// WebP files, lossy and lossless; the first picture of an animation. In: bytes. Out: RGB pixels and how the camera was held.

import { WebPDecoder } from "npm:image-in-browser@3.5.3/lib/src/formats/webp-decoder.js";
import { orientationOf, type Pixels } from "./exif_orientation.ts";
import { checkPictureSize, decoding } from "./picture_limits.ts";

const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The TIFF block of a file's EXIF. */
function exifOf(bytes: Uint8Array): Uint8Array | undefined {
  const view = viewOf(bytes);
  for (let at = 12; at + 8 <= bytes.length;) {
    const length = view.getUint32(at + 4, true);
    const body = bytes.subarray(at + 8, at + 8 + length);
    if (String.fromCharCode(...bytes.subarray(at, at + 4)) === "EXIF") {
      // Some writers put JPEG's "Exif\0\0" in front of the block.
      return body[0] === 0x45 ? body.subarray(6) : body;
    }
    at += 8 + length + length % 2;
  }
}

/**
 * Decodes a WebP to RGB; alpha is dropped.
 *
 * @returns The pixels as they are stored, and the EXIF orientation, 1 to 8.
 * @throws {UsageError} when the bytes are damaged or hold too many pixels.
 */
export function decodeWebp(bytes: Uint8Array): Pixels & { orientation: number } {
  return decoding("WebP", bytes, () => {
    // The package takes what is missing for zeros.
    if (bytes.length < 12 || viewOf(bytes).getUint32(4, true) + 8 > bytes.length) {
      throw new RangeError("they end early");
    }
    const decoder = new WebPDecoder();
    const info = decoder.startDecode(bytes);
    if (!info) throw new RangeError("its headers are broken");
    checkPictureSize("WebP", info.width, info.height);
    const image = decoder.decodeFrame(0);
    if (!image) throw new RangeError("its picture is broken");
    // A frame of an animation may be larger than the canvas claims.
    checkPictureSize("WebP", image.width, image.height);
    const samples = image.toUint8Array();
    const { width, height, numChannels } = image;
    const pixels = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; to < pixels.length; from += numChannels, to += 3) {
      pixels[to] = samples[from];
      pixels[to + 1] = samples[from + 1];
      pixels[to + 2] = samples[from + 2];
    }
    return { width, height, pixels, orientation: orientationOf(exifOf(bytes)) };
  });
}
