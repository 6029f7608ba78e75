// Repairs mojibake. In: text, some of it perhaps UTF-8 that was read in another encoding ("cafÃ©"). Out: the text that was meant
// ("café"), step by step as ftfy 6.3 goes.
import { looksLikeMojibake } from "./caption_badness.ts";
import { decodeUtf8, encode, ENCODINGS, type SingleByteEncoding } from "./caption_encodings.ts";
import { windows1252 } from "./caption_python.ts";

/** Decodes text anew as long as it looks like mojibake and gets better. */
export function fixEncoding(text: string): string {
  for (;;) {
    const fixed = fixOnce(text);
    if (fixed === text) return text;
    text = fixed;
  }
}

/** Gives C1 control characters the meaning that they have in Windows-1252. */
export function fixControls(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (character) => windows1252(character.charCodeAt(0)));
}

function fixOnce(text: string): string {
  if (/^[\0-\x7f]*$/.test(text) || !looksLikeMojibake(text)) return text;
  for (const encoding of ENCODINGS) {
    const bytes = encode(text, encoding);
    const decoded = bytes === undefined ? undefined : decodeUtf8(restoreLost(bytes, encoding));
    if (decoded !== undefined) return decoded;
  }
  const inParts = fixParts(text);
  if (inParts !== text) return inParts;
  return fixControls(text);
}

// UTF-8 in which a space stands for the byte A0, for sequences that make likely characters.
const SPACED = new RegExp(
  [
    "[\xc2\xc3\xc5\xce\xd0\xd9] ",
    "[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]",
    "[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] ",
    "\xf0 [\x80-\xbf]{2}|\xf0[\x80-\xbf] [\x80-\xbf]|\xf0[\x80-\xbf]{2} ",
  ].join("|"),
  "g",
);

// UTF-8 of which bytes are lost: 1A, or one question mark, stands for each.
const LOSSY = new RegExp(
  [
    "[\xc2-\xdf]\x1a|[\xc2-\xc3]\\?",
    "\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]|\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]",
    "[\xe0-\xef][\x1a?][\x1a\x80-\xbf]|[\xe0-\xef][\x1a\x80-\xbf][\x1a?]",
    "[\xf0-\xf4][\x1a?][\x1a\x80-\xbf]{2}|[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]",
    "[\xf0-\xf4][\x1a\x80-\xbf]{2}[\x1a?]",
    "\x1a",
  ].join("|"),
  "g",
);

function restoreLost(bytes: string, { name, lossy }: SingleByteEncoding): string {
  // In Mac Roman the same bytes are a dash before a space.
  if (name !== "macintosh" && bytes.search(SPACED) >= 0) {
    // A lone "à" is a word in French and the start of some words in Portuguese; the space behind it stays.
    bytes = bytes.replace(/\xc3 (?! |quele|quela|quilo|s )/g, "\xc3\xa0 ")
      .replace(SPACED, (sequence) => sequence.replaceAll(" ", "\xa0"));
  }
  return lossy ? bytes.replace(LOSSY, "\xef\xbf\xbd") : bytes;
}

/** The characters that a range of bytes is read as in Latin-1 and the Windows encodings, as the inside of brackets. */
function readAs(bytes: number[], without = ""): string {
  const found = new Set(ENCODINGS.slice(0, 7).flatMap(({ characters }) => bytes.map((byte) => characters[byte])));
  return [...found].filter((character) => !without.includes(character)).join("");
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const CONTINUATION = `[ ${readAs(range(0x80, 0xbf))}]`;
// Dashes, quotes, bullets and dots are likely to be meant even beside mojibake.
const STRICT_CONTINUATION = `[${readAs(range(0x80, 0xbf), "–—―‘’‚“”„•…")}]`;
const EMBEDDED = new RegExp(
  `(?<!${STRICT_CONTINUATION})(?:[${readAs(range(0xc2, 0xdf))}]${CONTINUATION}` +
    `|[${readAs(range(0xe0, 0xef))}]${CONTINUATION}{2}|[${readAs([0xf0, 0xf3])}]${CONTINUATION}{3})+`,
  "gu",
);

/** Repairs sequences that look like mojibake on their own, where the text as a whole cannot be decoded anew. */
function fixParts(text: string): string {
  return text.replace(
    EMBEDDED,
    (part) => part.length < text.length && looksLikeMojibake(part) ? fixEncoding(part) : part,
  );
}
