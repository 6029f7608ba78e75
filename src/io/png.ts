// The parts of PNG that this library writes itself: chunks, rows and text in any language. In and out: bytes and pixels.
// fast-png writes rows unfiltered and text as Latin-1 only; filtered rows halve the file of a photograph, and prompts come
// in every script.
import { unzlibSync } from "npm:fflate@0.8.3";
import { UsageError } from "../errors.ts";
import { crc32 } from "./crc32.ts";

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];

// A compressed text may grow a thousandfold; longer ones than this many bytes are left unread.
const LONGEST_COMPRESSED_TEXT = 65536;

function chunk(type: string, ...parts: (Uint8Array | number[])[]): Uint8Array<ArrayBuffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(12 + length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  let at = 4;
  for (const part of [latin1Bytes(type), ...parts]) {
    bytes.set(part, at);
    at += part.length;
  }
  view.setUint32(at, crc32(bytes.subarray(4, at)));
  return bytes;
}

/**
 * Encodes pixels as a PNG.
 *
 * @param pixels RGB, 8 bits a channel, [height, width, 3].
 * @param text What the file says of itself, by keywords of 1 to 79 Latin-1 characters.
 */
export async function encodePng(
  width: number,
  height: number,
  pixels: Uint8Array,
  text: Record<string, string>,
): Promise<Uint8Array<ArrayBuffer>> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 2], 8); // 8 bits a channel, RGB; the zeros after are the only methods there are, and no interlacing
  const rows = new Blob([filtered(width, height, pixels)]).stream().pipeThrough(new CompressionStream("deflate"));
  const data = new Uint8Array(await new Response(rows).arrayBuffer());
  const parts = [
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", header),
    ...Object.entries(text).map(([keyword, value]) => textChunk(keyword, value)),
    chunk("IDAT", data),
    chunk("IEND"),
  ];
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Each row as its kind of filter, 4, and its differences from Paeth's prediction. */
function filtered(width: number, height: number, pixels: Uint8Array): Uint8Array<ArrayBuffer> {
  const stride = width * 3;
  const out = new Uint8Array((stride + 1) * height);
  for (let y = 0, at = 0, to = 0; y < height; y++) {
    out[to++] = 4;
    for (let x = 0; x < stride; x++, at++) {
      const left = x >= 3 ? pixels[at - 3] : 0;
      const above = y > 0 ? pixels[at - stride] : 0;
      const corner = x >= 3 && y > 0 ? pixels[at - stride - 3] : 0;
      const toLeft = Math.abs(above - corner);
      const toAbove = Math.abs(left - corner);
      const toCorner = Math.abs(left + above - 2 * corner);
      const near = toLeft <= toAbove && toLeft <= toCorner ? left : toAbove <= toCorner ? above : corner;
      out[to++] = pixels[at] - near;
    }
  }
  return out;
}

/** Text that plain Latin-1 can hold as tEXt, which every reader knows; other text as iTXt, in UTF-8. */
function textChunk(keyword: string, text: string): Uint8Array<ArrayBuffer> {
  if (!/^[\x21-\x7e\xa1-\xff]+( [\x21-\x7e\xa1-\xff]+)*$/.test(keyword) || keyword.length > 79) {
    throw new UsageError(
      `Cannot write metadata "${
        keyword.slice(0, 100)
      }" into a PNG as a keyword has 1 to 79 Latin-1 characters and single ` +
        `spaces: it has ${keyword.length}`,
    );
  }
  if (/^[\n\x20-\x7e\xa0-\xff]*$/.test(text)) return chunk("tEXt", latin1Bytes(keyword), [0], latin1Bytes(text));
  // Five zeros: the keyword's end, no compression, its method, no language, no translated keyword.
  return chunk("iTXt", latin1Bytes(keyword), [0, 0, 0, 0, 0], new TextEncoder().encode(text));
}

/** The chunks of a PNG that are all there. */
function* chunksOf(bytes: Uint8Array): Generator<{ type: string; body: Uint8Array }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = SIGNATURE.length; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const type = latin1(bytes.subarray(at + 4, at + 8));
    const body = bytes.subarray(at + 8, at + 8 + length);
    at += 12 + length;
    if (at <= bytes.length) yield { type, body };
  }
}

/** The first chunk of a type in a PNG. */
export function readPngChunk(bytes: Uint8Array, wanted: string): Uint8Array | undefined {
  for (const { type, body } of chunksOf(bytes)) if (type === wanted) return body;
}

/**
 * Reads what a PNG says of itself: its tEXt, zTXt and iTXt chunks. Broken ones are left out.
 *
 * @param bytes A PNG; of one that ends early, what is there is read.
 */
export function readPngText(bytes: Uint8Array): Record<string, string> {
  const text: Record<string, string> = Object.create(null);
  for (const { type, body } of chunksOf(bytes)) {
    if (!["tEXt", "zTXt", "iTXt"].includes(type)) continue;
    const end = body.indexOf(0);
    if (end < 1) continue;
    const value = textOf(type, body.subarray(end + 1));
    if (value !== undefined) text[latin1(body.subarray(0, end))] = value;
  }
  return text;
}

/** The text of a chunk behind its keyword, or undefined when it is broken. */
function textOf(type: string, rest: Uint8Array): string | undefined {
  if (type === "tEXt") return latin1(rest);
  if (type === "zTXt") {
    const inflated = inflate(rest.subarray(1));
    return inflated && latin1(inflated);
  }
  const language = rest.indexOf(0, 2);
  const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
  if (translated < 0) return undefined;
  const stored = rest.subarray(translated + 1);
  const plain = rest[0] === 1 ? inflate(stored) : stored;
  return plain && new TextDecoder("utf-8", { ignoreBOM: true }).decode(plain);
}

function inflate(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length > LONGEST_COMPRESSED_TEXT) return undefined;
  try {
    return unzlibSync(bytes);
  } catch {
    return undefined;
  }
}

function latin1Bytes(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Unlike TextDecoder's "latin1", which is Windows-1252. */
function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
