// Repairs text. In: text with mojibake, entities, ligatures, wide letters, control characters. Out: plain text, as
// `ftfy.fix_text` of ftfy 6.3 gives it.
import { decodeHTMLStrict } from "npm:entities@9.0.0";
import { fixControls, fixEncoding } from "./caption_mojibake.ts";
import { pattern, unescapeHtml } from "./caption_python.ts";

/** Repairs text line by line; from the first line with a `<` on, entities are taken to be meant as they are. */
export function fixText(text: string): string {
  let html = false;
  return text.split(/(?<=\n)/).map((line) => {
    html ||= line.includes("<");
    return fixLine(line, !html);
  }).join("");
}

const TERMINAL_ESCAPE = pattern(String.raw`\x1b\[(?:\d|;)*[a-zA-Z]`);
const CONTROL = pattern(String.raw`[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]`);

function fixLine(line: string, entities: boolean): string {
  for (;;) {
    let fixed = entities ? unescapeSure(line) : line;
    fixed = fixControls(fixEncoding(fixed))
      .replace(/[ĲĳŉǄ-ǌǱ-ǳ\ufb00-\ufb06]/g, (character) => LIGATURES[character])
      .replace(/[\u3000\uff01-\uffef]/g, (wide) => wide === "\u3000" ? " " : wide.normalize("NFKC"))
      .replace(/[\u201c-\u201f]/g, '"')
      .replace(/[\u02bc\u2018-\u201b]/g, "'")
      .replace(/\r\n|[\r\u2028\u2029\x85]/g, "\n")
      .toWellFormed()
      .replace(TERMINAL_ESCAPE, "")
      .replace(CONTROL, "")
      .normalize("NFC");
    if (fixed === line) return line;
    line = fixed;
  }
}

// Letters that print as two; not æ and œ, which are letters of their own.
const LIGATURES: Record<string, string> = {
  "Ĳ": "IJ",
  "ĳ": "ij",
  "ŉ": "\u02bcn",
  "Ǆ": "DŽ",
  "ǅ": "Dž",
  "ǆ": "dž",
  "Ǉ": "LJ",
  "ǈ": "Lj",
  "ǉ": "lj",
  "Ǌ": "NJ",
  "ǋ": "Nj",
  "ǌ": "nj",
  "Ǳ": "DZ",
  "ǲ": "Dz",
  "ǳ": "dz",
  "\ufb00": "ff",
  "\ufb01": "fi",
  "\ufb02": "fl",
  "\ufb03": "ffi",
  "\ufb04": "ffl",
  "\ufb05": "\u017ft",
  "\ufb06": "st",
};

/** Replaces the references that leave no doubt: those with a semicolon, also in capitals ("&EACUTE;"). */
function unescapeSure(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (reference) => {
    if (reference[1] === "#") {
      const character = unescapeHtml(reference);
      return character.includes(";") ? reference : character;
    }
    const character = decodeHTMLStrict(reference);
    if (character !== reference) return character;
    const lower = reference.toLowerCase(), lowerCharacter = decodeHTMLStrict(lower);
    const inCapitals = lower.toUpperCase() === reference && unescapeHtml(reference) === reference;
    return inCapitals && lowerCharacter !== lower ? lowerCharacter.toUpperCase() : reference;
  });
}
