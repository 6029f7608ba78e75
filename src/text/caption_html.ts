// The text of HTML. In: a caption that may hold tags, references and comments. Out: what `BeautifulSoup(caption, "html.parser").text`
// gives, with beautifulsoup4 4.15 and the parser of Python 3.11.
//
// A browser's parser (parse5, htmlparser2) reads broken HTML otherwise, and captions are mostly broken HTML: "a <3 b", "1 < 2 & 3",
// "<lora:x:0.8>". So this is that parser's own way through the text, of which only what the text depends on is kept.
import { decodeHTMLStrict } from "npm:entities@9.0.0";
import { TextTree } from "./caption_html_tree.ts";
import { pattern, referenced, strip, windows1252 } from "./caption_python.ts";

/**
 * Takes the text out of HTML; tags, comments and declarations go, and so does what stands in scripts and styles.
 *
 * @param markup Any text. What the Python parser refuses (an unknown `<![...`) comes back as it is.
 */
export function htmlText(markup: string): string {
  const tree = new TextTree();
  try {
    new Scanner(markup, tree).run();
  } catch (error) {
    if (error instanceof RejectedMarkup) return markup;
    throw error;
  }
  return tree.text();
}

class RejectedMarkup extends Error {}

const CHARACTER_REFERENCE = /&#(?:([0-9]+)|[xX]([0-9a-fA-F]+))(?=[^0-9a-fA-F])/uy;
const ENTITY_REFERENCE = /&([a-zA-Z][-.a-zA-Z0-9]*)(?=[^a-zA-Z0-9])/uy;
const TAG_NAME = pattern(String.raw`([a-zA-Z][^\t\n\r\f />\x00]*)(?:\s|/(?!>))*`, "uy");
const ATTRIBUTE = String.raw`(?<=['"\s/])[^\s/>][^\s/=>]*`;
const VALUE = String.raw`'[^']*'|"[^"]*"|(?!['"])[^>\s]*`;
const ONE_ATTRIBUTE = pattern(String.raw`${ATTRIBUTE}(?:\s*=+\s*(?:${VALUE}))?(?:\s|/(?!>))*`, "uy");
const START_TAG = pattern(
  String.raw`<[a-zA-Z][^\t\n\r\f />\x00]*(?:[\s/]*(?:${ATTRIBUTE}(?:\s*=+\s*(?:${VALUE})\s*)?(?:\s|/(?!>))*)*)?\s*`,
  "uy",
);
const END_TAG = pattern(String.raw`</\s*([a-zA-Z][\-.a-zA-Z0-9:_]*)\s*>`, "uy");
const DECLARATION_NAME = pattern(String.raw`[a-zA-Z][\-_.a-zA-Z0-9]*\s*`, "uy");
const COMMENT_END = pattern(String.raw`--\s*>`);
const SECTION_END = pattern(String.raw`\]\s*\]\s*>`);
const OFFICE_SECTION_END = pattern(String.raw`\]\s*>`);

/** Where the walk goes on, and whether it does so in this pass. */
type Step = [next: number, goOn: boolean];

/** Walks over the markup twice: a part that does not end stops the first pass, and the second takes it as text. */
class Scanner {
  #markup: string;
  readonly #tree: TextTree;
  /** The script or style that the walk is in. */
  #rawElement: string | undefined;

  constructor(markup: string, tree: TextTree) {
    this.#markup = markup;
    this.#tree = tree;
  }

  run(): void {
    this.#walk(false);
    this.#walk(true);
  }

  #walk(atEnd: boolean): void {
    const markup = this.#markup;
    let i = 0, goOn = true;
    while (goOn && i < markup.length) {
      const raw = this.#rawElement;
      const interesting = raw === undefined ? /[&<]/g : pattern(String.raw`</\s*${raw}\s*>`, "giu");
      const found = indexFrom(interesting, markup, i);
      if (found < 0 && raw !== undefined) break;
      const j = found < 0 ? markup.length : found;
      if (i < j) this.#tree.data(markup.slice(i, j));
      if (j === markup.length) [i, goOn] = [j, false];
      else [i, goOn] = markup[j] === "<" ? this.#construct(j, atEnd) : this.#reference(j, atEnd);
    }
    if (atEnd && i < markup.length && this.#rawElement === undefined) this.#tree.data(markup.slice(i));
    this.#markup = markup.slice(i);
  }

  /** What starts with `<`. */
  #construct(i: number, atEnd: boolean): Step {
    const markup = this.#markup;
    let next: number;
    if (/[a-zA-Z]/.test(markup[i + 1] ?? "")) next = this.#startTag(i);
    else if (markup.startsWith("</", i)) next = this.#endTag(i);
    else if (markup.startsWith("<!--", i)) next = this.#hiddenUntil(COMMENT_END, i, 4);
    else if (markup.startsWith("<?", i)) next = this.#hiddenUntil(/>/g, i, 2);
    else if (markup.startsWith("<!", i)) next = this.#declaration(i);
    else if (i + 1 < markup.length) {
      this.#tree.data("<");
      next = i + 1;
    } else return [i, false];
    if (next >= 0) return [next, true];
    if (!atEnd) return [i, false];
    const close = markup.indexOf(">", i + 1), open = markup.indexOf("<", i + 1);
    next = close >= 0 ? close + 1 : open >= 0 ? open : i + 1;
    this.#tree.data(markup.slice(i, next));
    return [next, true];
  }

  /** What starts with `&`. A reference counts only when a character follows that cannot be part of it. */
  #reference(i: number, atEnd: boolean): Step {
    const markup = this.#markup;
    const pastSemicolon = (end: number) => markup[end] === ";" ? end + 1 : end;
    if (markup.startsWith("&#", i)) {
      const match = matchAt(CHARACTER_REFERENCE, markup, i);
      if (match) {
        const code = match[1] === undefined ? parseInt(match[2], 16) : parseInt(match[1], 10);
        this.#tree.data(code >= 0x80 && code <= 0x9f ? windows1252(code) : referenced(code));
        return [pastSemicolon(i + match[0].length), true];
      }
      if (!markup.includes(";", i)) return [i, false];
      this.#tree.data("&#");
      return [i + 2, false];
    }
    const match = matchAt(ENTITY_REFERENCE, markup, i);
    if (match) {
      const name = `&${match[1]}`, decoded = decodeHTMLStrict(`${name};`);
      // The semicolon of a name that does not exist is lost.
      this.#tree.data(decoded === `${name};` ? name : decoded);
      return [pastSemicolon(i + match[0].length), true];
    }
    if (/[a-zA-Z]/.test(markup[i + 1] ?? "")) {
      // Python drops the ampersand when one letter follows it at the very end.
      return [atEnd && i + 2 === markup.length ? i + 1 : i, false];
    }
    if (i + 1 === markup.length) return [i, false];
    this.#tree.data("&");
    return [i + 1, true];
  }

  #startTag(i: number): number {
    const markup = this.#markup;
    const end = this.#startTagEnd(i);
    if (end < 0) return end;
    const tag = matchAt(TAG_NAME, markup, i + 1)!;
    const name = tag[1].toLowerCase();
    let at = i + 1 + tag[0].length;
    while (at < end) {
      const attribute = matchAt(ONE_ATTRIBUTE, markup, at);
      if (!attribute) break;
      at += attribute[0].length;
    }
    const close = strip(markup.slice(at, end));
    if (close !== ">" && close !== "/>") this.#tree.data(markup.slice(i, end));
    else {
      this.#tree.start(name, close === "/>");
      if (close === ">" && (name === "script" || name === "style")) this.#rawElement = name;
    }
    return end;
  }

  /** Where the start tag ends, closed or not; -1 when more might follow. */
  #startTagEnd(i: number): number {
    const markup = this.#markup;
    const at = i + matchAt(START_TAG, markup, i)![0].length;
    if (markup[at] === ">") return at + 1;
    if (markup.startsWith("/>", at)) return at + 2;
    return at === markup.length || /[a-zA-Z=\/]/.test(markup[at]) ? -1 : at;
  }

  #endTag(i: number): number {
    const markup = this.#markup;
    const end = markup.indexOf(">", i + 1) + 1;
    if (end === 0) return -1;
    const tag = matchAt(END_TAG, markup, i);
    if (this.#rawElement !== undefined && tag?.[1].toLowerCase() !== this.#rawElement) {
      this.#tree.data(markup.slice(i, end));
      return end;
    }
    if (tag) {
      this.#tree.end(tag[1].toLowerCase());
      this.#rawElement = undefined;
      return end;
    }
    const name = matchAt(TAG_NAME, markup, i + 2);
    if (name) {
      this.#tree.end(name[1].toLowerCase());
      return markup.indexOf(">", i + 2 + name[0].length) + 1;
    }
    if (markup.startsWith("</>", i)) return i + 3;
    return this.#hiddenUntil(/>/g, i, 2);
  }

  #declaration(i: number): number {
    const markup = this.#markup;
    if (markup.startsWith("<![", i)) return this.#section(i);
    return this.#hiddenUntil(/>/g, i, /^<!doctype/i.test(markup.slice(i, i + 9)) ? 9 : 2);
  }

  /** `<![CDATA[...]]>`, and what word processors write. */
  #section(i: number): number {
    const markup = this.#markup;
    if (i + 3 === markup.length) return -1;
    const word = matchAt(DECLARATION_NAME, markup, i + 3)?.[0];
    if (word === undefined) throw new RejectedMarkup();
    if (i + 3 + word.length === markup.length) return -1;
    const name = strip(word).toLowerCase();
    const office = ["if", "else", "endif"].includes(name);
    if (!office && !["temp", "cdata", "ignore", "include", "rcdata"].includes(name)) throw new RejectedMarkup();
    const close = searchFrom(office ? OFFICE_SECTION_END : SECTION_END, markup, i + 3);
    if (!close) return -1;
    const content = markup.slice(i + 3, close.index);
    if (/^cdata\[/i.test(content)) this.#tree.hidden(content.slice(6), "cdata");
    else this.#tree.hidden(content);
    return close.index + close[0].length;
  }

  #hiddenUntil(closing: RegExp, i: number, skip: number): number {
    const close = searchFrom(closing, this.#markup, i + skip);
    if (!close) return -1;
    this.#tree.hidden(this.#markup.slice(i + skip, close.index));
    return close.index + close[0].length;
  }
}

/** Matches a sticky pattern at one place. */
function matchAt(sticky: RegExp, text: string, at: number): RegExpExecArray | null {
  sticky.lastIndex = at;
  return sticky.exec(text);
}

/** Finds a global pattern from one place on. */
function searchFrom(global: RegExp, text: string, from: number): RegExpExecArray | null {
  global.lastIndex = from;
  return global.exec(text);
}

function indexFrom(global: RegExp, text: string, from: number): number {
  return searchFrom(global, text, from)?.index ?? -1;
}
