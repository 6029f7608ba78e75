// Pictures. In: RGB pixels and what to say of them, or the bytes of a PNG. Out: an Image, a PNG, a file.
import { decode, type DecodedPng } from "npm:fast-png@8.0.0";
import { UsageError } from "../errors.ts";
import { encodePng, readPngText } from "./png.ts";

const LARGEST = 2 ** 28;

/** What an image is made of. */
export interface ImageInit {
  /** Pixels across. */
  width: number;
  /** Pixels down. */
  height: number;
  /** RGB or RGBA, 8 bits a channel, [height, width, 3 or 4]; alpha is dropped. */
  pixels: Uint8Array | Uint8ClampedArray;
  /** What the file will say of itself. */
  metadata?: Record<string, string>;
}

/**
 * A picture in memory, with what is said of it.
 *
 * @example
 * ```ts
 * import { decodePng, Image } from "./image.ts";
 * const image = new Image({ width: 1, height: 1, pixels: Uint8Array.of(255, 0, 0), metadata: { Title: "красный" } });
 * const again = decodePng(await image.encode());
 * console.assert(again.metadata.Title === "красный" && again.pixels[0] === 255);
 * ```
 */
export class Image {
  readonly width: number;
  readonly height: number;
  /** RGB, 8 bits a channel, [height, width, 3]. */
  readonly pixels: Uint8Array<ArrayBuffer>;
  /** Keyword to text; written into the file. */
  readonly metadata: Record<string, string>;

  /** @throws {UsageError} when the pixels do not fill the picture. */
  constructor({ width, height, pixels, metadata = {} }: ImageInit) {
    const isSize = (size: number) => Number.isSafeInteger(size) && size > 0;
    const channels = pixels.length / (width * height);
    if (!isSize(width) || !isSize(height) || (channels !== 3 && channels !== 4)) {
      throw new UsageError(
        `Cannot make an image [${height}, ${width}] as its pixels must be RGB or RGBA: ${pixels.length} bytes`,
      );
    }
    this.width = width;
    this.height = height;
    this.pixels = channels === 3 ? Uint8Array.from(pixels) : rgbOf(4, pixels, (at) => pixels[at]);
    this.metadata = { ...metadata };
  }

  /** The picture and its metadata as the bytes of a PNG. */
  async encode(): Promise<Uint8Array<ArrayBuffer>> {
    return await encodePng(this.width, this.height, this.pixels, this.metadata);
  }

  /**
   * Writes the picture as a PNG: all of it or nothing, and never over another file unless told so.
   *
   * @param path A path or `file:` URL in a folder that exists.
   * @throws {UsageError} when the file exists already, or cannot be written there.
   */
  async save(path: string | URL, { overwrite = false }: { overwrite?: boolean } = {}): Promise<void> {
    const part = partOf(path);
    try {
      await Deno.writeFile(part, await this.encode(), { createNew: true });
      // A link fails where a file stands already; a rename would put it out without a word.
      if (overwrite) await Deno.rename(part, path);
      else await moveToFree(part, path);
    } catch (error) {
      await Deno.remove(part).catch(() => {});
      if (error instanceof UsageError) throw error;
      const exists = error instanceof Deno.errors.AlreadyExists;
      const missing = error instanceof Deno.errors.NotFound;
      const state = exists ? "a file is there" : missing ? "its folder does not exist" : (error as Error).message;
      const rule = exists ? " as nothing is overwritten unless overwrite is set" : "";
      throw new UsageError(`Cannot save an image to ${path}${rule}: ${state}`, { cause: error });
    }
  }
}

/** Where the file grows: beside its place, so that the rename stays within one file system. */
function partOf(path: string | URL): string | URL {
  const suffix = `.${crypto.randomUUID().slice(0, 8)}.part`;
  if (typeof path === "string") return path + suffix;
  const part = new URL(path);
  part.pathname += suffix;
  return part;
}

async function moveToFree(part: string | URL, path: string | URL): Promise<void> {
  try {
    await Deno.link(part as string, path as string);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw error;
    // Some file systems have no links: reserve the name with an empty file instead, which fails if it is taken.
    const reserved = await Deno.open(path, { write: true, createNew: true });
    reserved.close();
    try {
      return await Deno.rename(part, path);
    } catch (error) {
      await Deno.remove(path);
      throw error;
    }
  }
  await Deno.remove(part);
}

/**
 * Decodes a PNG of any kind to RGB, with the text it carries. Alpha is dropped, 16 bits are cut to 8.
 *
 * @throws {UsageError} when the bytes are not a PNG, are damaged, or hold more than 2^28 pixels.
 */
export function decodePng(bytes: Uint8Array): Image {
  const cannot = `Cannot decode ${bytes.length} bytes as PNG`;
  // The header stands at a fixed place; what it claims is looked at before anything is made of it.
  if (bytes.length < 33) throw new UsageError(`${cannot}: they are too few`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [isIndexed, isInterlaced] = [bytes[25] === 3, bytes[28] !== 0];
  let png: DecodedPng;
  try {
    if (width * height > LARGEST) throw new RangeError(`it would be ${width} by ${height} pixels`);
    if (isInterlaced && bytes[24] < 8) throw new RangeError("interlaced images of less than 8 bits are not read");
    png = decode(bytes, { checkCrc: true });
    if (png.width !== width || png.height !== height) throw new RangeError("it has two headers");
  } catch (error) {
    throw new UsageError(`${cannot}: ${(error as Error).message}`, { cause: error });
  }
  const { data, depth, channels } = png;
  // Images of full colour may carry a palette, too, as a mere suggestion.
  const palette = isIndexed ? png.palette ?? [] : undefined;
  const perRow = Math.ceil(width * channels * depth / 8);
  const sample = (at: number) => {
    if (depth === 8) return data[at];
    if (depth === 16) return data[at] >> 8;
    // Less than a byte each: rows start at a whole byte, the first sample in its high bits.
    const bit = (at % width) * depth;
    return (data[Math.floor(at / width) * perRow + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
  };
  const pixels = palette
    ? Uint8Array.from({ length: width * height * 3 }, (_, i) => palette[sample(Math.floor(i / 3))]?.[i % 3] ?? 0)
    : rgbOf(channels, { length: width * height * channels }, sample, depth < 8 ? 255 / ((1 << depth) - 1) : 1);
  return new Image({ width, height, pixels, metadata: readPngText(bytes) });
}

/** RGB of samples of 1 (grey), 2 (grey, alpha), 3 or 4 (RGB, alpha) channels. */
function rgbOf(
  channels: number,
  { length }: { length: number },
  sample: (at: number) => number,
  scale = 1,
): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(length / channels * 3);
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  for (let at = 0, to = 0; at < length; at += channels) {
    out[to++] = sample(at) * scale;
    out[to++] = sample(at + green) * scale;
    out[to++] = sample(at + blue) * scale;
  }
  return out;
}
