// JPEG files, baseline and progressive. In: bytes. Out: RGB pixels and how the camera was held.
// The package repeats chroma pixels that are stored at half size. libjpeg, and with it every common program, blends them: the
// nearer one counts three quarters. So the channels are taken from the package as they are stored, and put together here.

import { decode } from "npm:jpeg-js@0.4.4";
import { UsageError } from "../errors.ts";
import { orientationOf, type Pixels } from "./exif_orientation.ts";
import { checkPictureSize, decoding, LARGEST_PICTURE } from "./picture_limits.ts";

const RGB = "82,71,66";

/** What the headers of a file say. */
interface Header {
  width: number;
  height: number;
  /** Per channel: how many of its pixels lie side by side and above each other where the finest channel has most. */
  sampling: [number, number][];
  /** Whether the channels are red, green and blue rather than luma and chroma. */
  isRgb: boolean;
  /** Where Adobe's mark says how colours are stored. */
  adobe?: number;
  /** The TIFF block of its EXIF. */
  exif?: Uint8Array;
}

/** Reads what comes before the picture. */
function headerOf(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const starts = (at: number, text: string) => String.fromCharCode(...bytes.subarray(at, at + text.length)) === text;
  let exif: Uint8Array | undefined;
  let adobe: number | undefined;
  let isJfif = false;
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1];
    if (marker === 0xff) {
      at++;
      continue;
    }
    const end = at + 2 + view.getUint16(at + 2);
    const body = at + 4;
    if (marker === 0xe0 && starts(body, "JFIF")) isJfif = true;
    if (marker === 0xe1 && starts(body, "Exif")) exif ??= bytes.subarray(body + 6, end);
    if (marker === 0xee && starts(body, "Adobe") && end >= body + 12) adobe = body + 11;
    // Frames are C0 to CF, but for the tables and conditions among them.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const channels = Array.from({ length: bytes[body + 5] }, (_, i) => body + 6 + 3 * i);
      const names = channels.map((channel) => bytes[channel]).join();
      // The package takes what is missing for grey. An end mark cannot stand inside of the picture's data.
      if (!bytes.some((byte, i) => i > end && byte === 0xd9 && bytes[i - 1] === 0xff)) break;
      return {
        height: view.getUint16(body + 1),
        width: view.getUint16(body + 3),
        sampling: channels.map((channel) => [bytes[channel + 1] >> 4, bytes[channel + 1] & 15]),
        isRgb: adobe === undefined ? !isJfif && names === RGB : bytes[adobe] === 0,
        adobe,
        exif,
      };
    }
    at = end;
  }
  throw new UsageError(
    `Cannot decode ${bytes.length} bytes as JPEG: they hold no picture from its beginning to its end`,
  );
}

/**
 * Decodes a JPEG to RGB.
 *
 * @returns The pixels as they are stored, and the EXIF orientation, 1 to 8.
 * @throws {UsageError} when the bytes are damaged, of a kind that is not read, or hold too many pixels.
 */
export function decodeJpeg(bytes: Uint8Array): Pixels & { orientation: number } {
  const header = headerOf(bytes);
  const { width, height, sampling, adobe } = header;
  checkPictureSize("JPEG", width, height);
  const hasChroma = sampling.length === 3;
  const source = Uint8Array.from(bytes);
  // The mark would make the package convert colours whatever it is told.
  if (hasChroma && adobe !== undefined) source[adobe] = 0;
  const decoded = decoding("JPEG", bytes, () => {
    const image = decode(source, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      colorTransform: hasChroma ? false : undefined,
      maxResolutionInMP: LARGEST_PICTURE / 1e6,
      maxMemoryUsageInMB: 4096,
    });
    if (image.width !== width || image.height !== height) throw new RangeError("it has two headers");
    return image.data;
  });
  const pixels = hasChroma ? joined(decoded, header) : Uint8Array.from(decoded);
  return { width, height, pixels, orientation: orientationOf(header.exif) };
}

/** RGB [height, width, 3] of channels [height, width, 3] whose coarse ones repeat their pixels. */
function joined(repeated: Uint8Array, { width, height, sampling, isRgb }: Header): Uint8Array<ArrayBuffer> {
  const most = [0, 1].map((axis) => Math.max(...sampling.map((channel) => channel[axis])));
  const out = new Uint8Array(repeated.length);
  sampling.forEach(([across, down], channel) => {
    const step = { across: most[0] / across, down: most[1] / down };
    blend(repeated.subarray(channel), out.subarray(channel), width, height, step);
  });
  if (!isRgb) toRgb(out);
  return out;
}

/** One channel at full size, from every third byte of `from` to every third of `out`. */
function blend(
  from: Uint8Array,
  out: Uint8Array,
  width: number,
  height: number,
  { across, down }: { across: number; down: number },
): void {
  const columns = Math.ceil(width / across), rows = Math.ceil(height / down);
  // libjpeg blends only where a side is doubled, and not in the narrowest pictures.
  const blendsX = across === 2 && columns > 2, blendsY = down === 2 && across <= 2 && columns > 2;
  for (let y = 0; y < height; y++) {
    const row = Math.floor(y / down);
    const near = blendsY ? Math.min(Math.max(row + (y % 2 === 0 ? -1 : 1), 0), rows - 1) : row;
    const [line, other] = [row * down * width, near * down * width];
    for (let x = 0; x < width; x++) {
      const column = Math.floor(x / across);
      const beside = blendsX ? Math.min(Math.max(column + (x % 2 === 0 ? -1 : 1), 0), columns - 1) : column;
      const [here, there] = [3 * Math.floor(column * across), 3 * Math.floor(beside * across)];
      const sum = 9 * from[3 * line + here] + 3 * from[3 * other + here] + 3 * from[3 * line + there] +
        from[3 * other + there];
      // Halves go up and down in turn, in the pattern of libjpeg.
      const half = blendsX && blendsY ? (x % 2 === 0 ? 8 : 7) : (blendsX ? x : y) % 2 === 0 ? 4 : 8;
      out[3 * (y * width + x)] = (sum + half) >> 4;
    }
  }
}

const clamped = (value: number) => value < 0 ? 0 : value > 255 ? 255 : Math.round(value);

/** Luma and chroma become red, green and blue, in place. */
function toRgb(pixels: Uint8Array): void {
  for (let at = 0; at < pixels.length; at += 3) {
    const [luma, cb, cr] = [pixels[at], pixels[at + 1] - 128, pixels[at + 2] - 128];
    pixels[at] = clamped(luma + 1.402 * cr);
    pixels[at + 1] = clamped(luma - 0.344136286 * cb - 0.714136286 * cr);
    pixels[at + 2] = clamped(luma + 1.772 * cb);
  }
}
