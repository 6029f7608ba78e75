// Does text look like mojibake (UTF-8 that was read as some other encoding)? In: text. Out: yes or no.
//
// The answer is that of ftfy 6.3, so that captions come out as they did when the models were trained: some 400 characters that
// occur in mojibake are sorted into classes, and certain neighbours are far likelier there than in any language.
import { pattern } from "./caption_python.ts";

const CLASSES = {
  /** Fine in many places. */
  common: String.raw`\xa0\xad·´–—―…’`,
  c1: String.raw`\x80-\x9f`,
  /** Hardly ever meant. */
  bad: String.raw`¦¤¨¬¯¸ƒˆˇ˘˛˜†‡‰⌐◊\ufffdªº`,
  law: "¶§",
  currency: "¢£¥₧€",
  opening: String.raw`¡«¿©΄΅‘‚“„•‹\uf8ff`,
  closing: "®»˝”›™",
  numeric: "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№",
  /** Faces are drawn with these, so they may stand beside anything but boxes. */
  face: "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°",
  upper: "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ",
  lower: String.raw`ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґ\ufb01\ufb02`,
  /** Whole alphabets; only as parts of longer signs. */
  upperAlphabet: "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я",
  lowerAlphabet: "α-ωάέήίΰа-џ",
  box: "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓",
};
type ClassName = keyof typeof CLASSES;

const LETTERS: ClassName[] = ["lower", "upper"];
const SIGNS: ClassName[] = ["box", "opening", "closing", "currency", "numeric", "law"];

// Each row is a sequence of classes of characters that gives mojibake away.
const SEQUENCES: (ClassName[] | string)[][] = [
  [["c1"]],
  [["bad", ...LETTERS, ...SIGNS], ["bad"]],
  ["[a-zA-Z]", ["lowerAlphabet", "upperAlphabet"], ["bad"]],
  [["bad"], [...LETTERS, ...SIGNS]],
  [["lower", "lowerAlphabet", "box", "closing", "currency", "numeric"], ["upper"]],
  [["box", "closing", "currency", "numeric"], ["lower"]],
  [["lower", "box", "closing"], ["currency"]],
  [String.raw`\s`, ["upper"], ["currency"]],
  [["upper", "box"], ["numeric", "law"]],
  [[...LETTERS, "box", "currency", "closing"], ["opening"], ["numeric"]],
  [[...LETTERS, "currency", "numeric", "box", "law"], ["closing"], ["opening"]],
  [["currency", "numeric", "box"], ["opening"]],
  ["[a-z]", ["upper"], ["opening", "currency"]],
  [["box"], ["face"]],
  [[...LETTERS, "currency", "numeric", "opening", "closing", "law"], ["box"]],
  [["box"], ["closing"]],
  [LETTERS, ["opening", "closing"], String.raw`\w`],
];

const set = (names: ClassName[], more = "") => `[${names.map((name) => CLASSES[name]).join("")}${more}]`;

const ARABIC = `[ØÙ]${set(["common", "currency", "bad", "numeric", "opening"], "ŸŠ®°µ»")}`;
const CYRILLIC = `[ВГРС]${set(["c1", "bad", "opening", "closing", "currency"], "°µ")}[ВГРС]`;
const GREEK = `[ΒΓΞΟ]${set(["c1", "bad", "opening", "closing", "currency"], "°")}[ΒΓΞΟ]`;

// What the classes do not tell: pairs that one encoding alone makes.
const SPECIAL = [
  // Windows-1252.
  "[Œœ][^A-Za-z]",
  `${set(["upper"])}°`,
  `[ÂÃÎÐ]${set(["opening", "closing"], String.raw`€œŠš¢£Ÿž\xa0\xad®©°·»–—´`)}`,
  "×[²³]",
  ARABIC + ARABIC,
  "à[²µ¹¼½¾]",
  String.raw`Ã[\xa0¡]`,
  String.raw`[a-z]\s?[ÃÂ] `,
  "^[ÃÂ] ",
  `[a-z.,?!${CLASSES.closing}]Â${set(["opening", "closing"], " ")}`,
  // Mac Roman.
  "√[±∂†≠®™´≤≥¥µø]",
  "≈[°¢]",
  "‚Ä[ìîïòôúùû†°¢π]",
  "‚[âó][àä°ê]",
  // Windows-1251, also on top of Windows-1252.
  "вЂ",
  CYRILLIC,
  "ГўВЂВ.[A-Za-z ]",
  // Windows-1253 and Windows-1257.
  String.raw`β€[™\xa0Ά\xad®°]`,
  GREEK,
  "ā€",
];

const BADNESS = pattern(
  [
    ...SEQUENCES.map((sequence) => sequence.map((part) => typeof part === "string" ? part : set(part)).join("")),
    ...SPECIAL,
  ].join("|"),
  "u",
);

/** Says whether text holds a sign of mojibake. */
export function looksLikeMojibake(text: string): boolean {
  return BADNESS.test(text);
}
