// The encodings that text is wrongly read in. In: text, or bytes. Out: the bytes that the text was before, or nothing when it
// cannot have come from that encoding.
//
// The tables are those of TextDecoder; bytes that an encoding leaves open stand for themselves, as in Latin-1, because
// programs that read text wrongly do just that.

const CP437_UPPER = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀" +
  "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0";

/** One byte, one character. */
export interface SingleByteEncoding {
  /** Its name; `latin-1` and the names that TextDecoder knows. */
  name: string;
  /** The characters of bytes 0 to 255. */
  characters: string[];
  /** Whether it lets U+FFFD through, as byte 0x1A: the byte that is lost. */
  lossy: boolean;
}

function encodingOf(name: string, lossy: boolean): SingleByteEncoding {
  const characters = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
  if (name === "cp437") characters.splice(0x80, 0x80, ...CP437_UPPER);
  else if (name !== "latin-1") {
    const decoder = new TextDecoder(name);
    for (let byte = 0x80; byte < 0x100; byte++) {
      const character = decoder.decode(Uint8Array.of(byte));
      if (character !== "\ufffd") characters[byte] = character;
    }
  }
  if (lossy) characters[0x1a] = "\ufffd";
  return { name, characters, lossy };
}

/** In the order in which they are tried. */
export const ENCODINGS: SingleByteEncoding[] = [
  encodingOf("latin-1", false),
  ...["windows-1252", "windows-1251", "windows-1250", "windows-1253", "windows-1254", "windows-1257"]
    .map((name) => encodingOf(name, true)),
  encodingOf("iso-8859-2", false),
  encodingOf("macintosh", false),
  encodingOf("cp437", false),
];

const byteOf = new Map(
  ENCODINGS.map(({ name, characters }) => [name, new Map(characters.map((character, byte) => [character, byte]))]),
);

/**
 * Undoes a decoding.
 *
 * @returns The bytes as a string of characters U+0000 to U+00FF, so that patterns can look at them; undefined when a
 * character is not in the encoding.
 */
export function encode(text: string, encoding: SingleByteEncoding): string | undefined {
  const table = byteOf.get(encoding.name)!;
  let bytes = "";
  for (const character of text) {
    const byte = table.get(character);
    if (byte === undefined) return undefined;
    bytes += String.fromCharCode(byte);
  }
  return bytes;
}

/**
 * Decodes UTF-8 and its two common variants: surrogates that are encoded one by one (CESU-8), and zero as C0 80 (Java).
 *
 * @param bytes Characters U+0000 to U+00FF.
 * @returns undefined when the bytes are none of these.
 */
export function decodeUtf8(bytes: string): string | undefined {
  const plain = bytes.replace(/\xc0\x80/g, "\0").replace(
    /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g,
    (_, a: string, b: string, c: string, d: string) => {
      const code = 0x10000 + ((low(a, 0xf) << 16) | (low(b, 0x3f) << 10) | (low(c, 0xf) << 6) | low(d, 0x3f));
      return String.fromCharCode(...new TextEncoder().encode(String.fromCodePoint(code)));
    },
  );
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
      .decode(Uint8Array.from(plain, (character) => character.charCodeAt(0)));
  } catch {
    return undefined;
  }
}

function low(character: string, mask: number): number {
  return character.charCodeAt(0) & mask;
}
