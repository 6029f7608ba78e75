// Which elements of an HTML text are open. In: start tags, end tags and runs of text in the order in which the parser meets them.
// Out: the text, put together as beautifulsoup4 does it.

const EMPTY_ELEMENTS = new Set(
  ("area base br col embed hr img input keygen link menuitem meta param source track wbr " +
    "basefont bgsound command frame image isindex nextid spacer").split(" "),
);
// Strings inside of these are not part of a document's text.
const OWN_STRINGS = new Set(["rt", "rp", "style", "script", "template"]);
const PRESERVING = new Set(["pre", "textarea"]);

/** The open elements and the text so far. */
export class TextTree {
  #out = "";
  #pending: string[] = [];
  #open: string[] = [];
  #alreadyClosed: string[] = [];

  /** Adds to the current run of text. */
  data(text: string): void {
    this.#pending.push(text);
  }

  /** Ends a run of text. White space alone shrinks to one character, and so does an empty run. */
  flush(kind: "text" | "hidden" | "cdata" = "text"): void {
    if (this.#pending.length === 0) return;
    let run = this.#pending.join("");
    this.#pending = [];
    const preserved = this.#open.some((name) => PRESERVING.has(name));
    if (!preserved && /^[ \n\t\f\r]*$/.test(run)) run = run.includes("\n") ? "\n" : " ";
    const own = this.#open.some((name) => OWN_STRINGS.has(name));
    if (kind === "cdata" || (kind === "text" && !own)) this.#out += run;
  }

  /** A comment, a declaration or a processing instruction. */
  hidden(text: string, kind: "hidden" | "cdata" = "hidden"): void {
    this.flush();
    this.data(text);
    this.flush(kind);
  }

  /** A start tag, `<name/>` when self-closing. */
  start(name: string, selfClosing: boolean): void {
    this.flush();
    this.#open.push(name);
    if (!selfClosing && !EMPTY_ELEMENTS.has(name)) return;
    this.#close(name);
    // A later </br> belongs to this <br>, and must not end the run of text.
    if (!selfClosing) this.#alreadyClosed.push(name);
  }

  /** An end tag. */
  end(name: string): void {
    const at = this.#alreadyClosed.indexOf(name);
    if (at >= 0) this.#alreadyClosed.splice(at, 1);
    else this.#close(name);
  }

  /** All text up to here. */
  text(): string {
    this.flush();
    return this.#out;
  }

  #close(name: string): void {
    this.flush();
    const at = this.#open.lastIndexOf(name);
    if (at >= 0) this.#open.length = at;
  }
}
