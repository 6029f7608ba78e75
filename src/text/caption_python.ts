// What Python's `re`, `str`, `urllib.parse` and `html` do where JavaScript differs. In: patterns and text. Out: the same results
// as Python gives, because the captions that the models were trained on were cleaned there.
import { decodeHTML } from "npm:entities@9.0.0";

// str.isspace: unlike \s of JavaScript it holds U+001C to U+001F and U+0085, and not U+FEFF.
const SPACE = String.raw`\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;
const WORD = String.raw`\p{L}\p{N}_`;
const BOUNDARY = `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`;
const CLASSES: Record<string, string> = { w: WORD, d: String.raw`\p{Nd}`, s: SPACE };

/**
 * Makes a RegExp in which `\b \w \W \d \D \s \S` mean what they mean in Python: all of Unicode.
 *
 * @param source A pattern in the syntax of JavaScript's u flag; inside brackets only the lower-case classes are known.
 */
export function pattern(source: string, flags = "gu"): RegExp {
  let inBrackets = false;
  const translated = source.replace(/\\.|[[\]]/gsu, (token) => {
    if (token === "[" || token === "]") {
      inBrackets = token === "[";
      return token;
    }
    const letter = token[1];
    if (letter === "b" && !inBrackets) return BOUNDARY;
    const members = CLASSES[letter.toLowerCase()];
    if (members === undefined) return token;
    if (inBrackets) return members;
    return letter in CLASSES ? `[${members}]` : `[^${members}]`;
  });
  return new RegExp(translated, flags);
}

const OUTER_SPACE = pattern(String.raw`^\s+|\s+$`);

/** `str.strip()`. */
export function strip(text: string): string {
  return text.replace(OUTER_SPACE, "");
}

/** `urllib.parse.unquote_plus`: `+` is a space, `%41` is a byte of UTF-8, and what is not UTF-8 becomes U+FFFD. */
export function unquotePlus(text: string): string {
  // A byte sequence never goes on behind a character that is not ASCII.
  return text.replaceAll("+", " ").replace(/[\0-\x7f]+/g, (ascii) => {
    if (!ascii.includes("%")) return ascii;
    const bytes: number[] = [];
    for (let i = 0; i < ascii.length; i++) {
      const hex = ascii[i] === "%" && /^[0-9a-f]{2}$/i.test(ascii.slice(i + 1, i + 3));
      bytes.push(hex ? parseInt(ascii.slice(i + 1, i + 3), 16) : ascii.charCodeAt(i));
      if (hex) i += 2;
    }
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  });
}

/** `html.unescape`: named references also without a semicolon, the longest known name; numeric ones to nothing where invalid. */
export function unescapeHtml(text: string): string {
  return text.replace(/&(?:#([0-9]+);?|#[xX]([0-9a-fA-F]+);?|[^\t\n\f <&#;]{1,32};?)/gu, (match, decimal, hex) => {
    if (decimal === undefined && hex === undefined) return decodeHTML(match);
    const code = decimal === undefined ? parseInt(hex, 16) : parseInt(decimal, 10);
    if (code >= 0x80 && code <= 0x9f) return windows1252(code);
    return code === 0xd ? "\r" : code !== 0 && isInvalid(code) ? "" : referenced(code);
  });
}

/** The character of a numeric reference, U+FFFD when there is none. */
export function referenced(code: number): string {
  const exists = code !== 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  return exists ? String.fromCodePoint(code) : "\ufffd";
}

/** The character of a byte from 0x80 to 0x9F in Windows-1252; unassigned bytes stay control characters. */
export function windows1252(byte: number): string {
  return new TextDecoder("windows-1252").decode(Uint8Array.of(byte));
}

function isInvalid(code: number): boolean {
  return (code < 0x20 && !(code >= 0x9 && code <= 0xd && code !== 0xb)) || code === 0x7f ||
    (code >= 0xfdd0 && code <= 0xfdef) || (code <= 0x10ffff && (code & 0xfffe) === 0xfffe);
}
