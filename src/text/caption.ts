// Captions become the kind of text that the models were trained on. In: what a person or a web page wrote. Out: lower-case text
// without addresses, HTML, ids, file names and shop talk.
//
// The steps, their order and their oddities are those of DeepFloyd IF, which PixArt and diffusers took over: a step that looks
// wrong is what the models have seen.
import { fixText } from "./caption_fix.ts";
import { htmlText } from "./caption_html.ts";
import { pattern, strip, unescapeHtml, unquotePlus } from "./caption_python.ts";

type Rule = [pattern: RegExp, replacement: string];

const rule = (source: string, replacement = ""): Rule => [pattern(source), replacement];

const DOMAIN = String.raw`[a-zA-Z0-9.\-]+[.](?:com|co|ru|net|org|edu|gov|it)[\w/\-]*\b/?(?!@)`;
const FILE_TYPES = "png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4";

const BEFORE_HTML: Rule[] = [
  rule("<person>", "person"),
  rule(String.raw`\b(?:https?:(?:/{1,3}|[a-zA-Z0-9%])|${DOMAIN})`),
  rule(String.raw`\b(?:www:(?:/{1,3}|[a-zA-Z0-9%])|${DOMAIN})`),
];

const AFTER_HTML: Rule[] = [
  rule(String.raw`@[\w\d]+\b`),
  // CJK strokes, phonetic extensions, enclosed and compatibility forms, ideographs, hexagrams.
  rule(String.raw`[\u31c0-\u4dff\u4e00-\u9fff]+`),
  rule(
    String.raw`[\-\u058a\u05be\u1400\u1806\u2010-\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40` +
      String.raw`\u301c\u3030\u30a0\ufe31\ufe32\ufe58\ufe63\uff0d]+`,
    "-",
  ),
  rule("[`´«»“”¨]", '"'),
  rule("[‘’]", "'"),
  rule("&quot;?"),
  rule("&amp"),
  rule(String.raw`\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}`, " "),
  // The time at the end of an article.
  rule(String.raw`\d:\d\d\s+$`),
  rule(String.raw`\\n`, " "),
  rule(String.raw`#\d{1,3}\b`),
  rule(String.raw`#\d{5,}\b`),
  rule(String.raw`\b\d{6,}\b`),
  // The look behind changes no result: it spares long words a try from each of their letters.
  rule(String.raw`(?<!\S)\S+\.(?:${FILE_TYPES})`),
  rule(`["']{2,}`, '"'),
  rule(String.raw`[.]{2,}`, " "),
  rule(String.raw`[#®•©™&@·º½¾¿¡§~)(\]\[}{|\\/*]+`, " "),
  rule(String.raw`\s+\.\s+`, " "),
];

const AFTER_FIX: Rule[] = [
  // Ids: jc6640, jc6640vc, 6640vc231.
  rule(String.raw`\b[a-zA-Z]{1,3}\d{3,15}\b`),
  rule(String.raw`\b[a-zA-Z]+\d+[a-zA-Z]+\b`),
  rule(String.raw`\b\d+[a-zA-Z]+\d+\b`),
  rule(String.raw`(?:worldwide\s+)?(?:free\s+)?shipping`),
  rule(String.raw`(?:free\s)?download(?:\sfree)?`),
  rule(String.raw`\bclick\b\s(?:for|on)\s\w+`),
  rule(String.raw`\b(?:${FILE_TYPES})(?:\simages?)?`),
  rule(String.raw`\bpage\s+\d+\b`),
  rule(String.raw`\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\d]*\b`, " "),
  // Sizes such as 1920x1080, with a Latin x, a Cyrillic one or the sign.
  rule(String.raw`\b\d+\.?\d*[xх×]\d+\.?\d*\b`),
  rule(String.raw`\b\s+:\s+`, ": "),
  rule(String.raw`(\D[,./])\b`, "$1 "),
  rule(String.raw`\s+`, " "),
  [/^["'](.+)["']$/su, "$1"],
  [/^['_,\-:;]/u, ""],
  [/['_,\-:+]$/u, ""],
  rule(String.raw`^\.\S+$`),
];

// "this-is-my-cute-cat": more joints than this, and all of them are spaces.
const MOST_JOINTS = 3;

/**
 * Cleans a caption, one pass. Pipelines make two, see {@linkcode preprocessCaption}.
 *
 * @param caption Any text.
 * @returns Lower-case text, perhaps empty.
 * @example
 * ```ts
 * import { cleanCaption } from "@pixart/webgpu";
 * console.assert(cleanCaption("<b>A cat</b>, IMG_2034.JPG 1920x1080") === "a cat,");
 * ```
 */
export function cleanCaption(caption: string): string {
  let text = strip(unquotePlus(caption)).toLowerCase();
  text = apply(BEFORE_HTML, text);
  text = apply(AFTER_HTML, htmlText(text));
  if ((text.match(/[-_]/g)?.length ?? 0) > MOST_JOINTS) text = text.replace(/[-_]/g, " ");
  text = unescapeHtml(unescapeHtml(fixText(text)));
  return strip(apply(AFTER_FIX, text));
}

/**
 * Prepares a caption for the tokenizer as diffusers does.
 *
 * @param caption Any text.
 * @param clean Whether it is cleaned, twice; else it is only lower-cased and stripped.
 * @example
 * ```ts
 * import { preprocessCaption } from "@pixart/webgpu";
 * console.assert(preprocessCaption("  A Cat & a Dog ", false) === "a cat & a dog");
 * ```
 */
export function preprocessCaption(caption: string, clean: boolean): string {
  return clean ? cleanCaption(cleanCaption(caption)) : strip(caption.toLowerCase());
}

function apply(rules: Rule[], text: string): string {
  return rules.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), text);
}
