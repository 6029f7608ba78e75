import assert from "node:assert/strict";
import { readJson } from "../../src/io/byte_source.ts";
import { cleanCaption, preprocessCaption } from "../../src/text/caption.ts";
import { looksLikeMojibake } from "../../src/text/caption_badness.ts";
import { fixText } from "../../src/text/caption_fix.ts";
import { htmlText } from "../../src/text/caption_html.ts";
import { pattern, strip, unescapeHtml, unquotePlus } from "../../src/text/caption_python.ts";

const FOLDER = "tests/golden/captions";
const recorded = await readJson(`${FOLDER}/captions.json`) as { caption: string; cleaned: string; plain: string }[];
// Odd captions and what diffusers 0.40 with Python 3.11, beautifulsoup4 4.15 and ftfy 6.3 made of them and of their parts.
const python = await readJson(`${FOLDER}/python.json`) as {
  captions: { caption: string; once: string; cleaned: string }[];
  html: { markup: string; text: string }[];
  fix: { text: string; fixed: string }[];
};

Deno.test("preprocessCaption() gives the recorded text for every caption of the fixture", () => {
  for (const { caption, cleaned, plain } of recorded) {
    assert.equal(preprocessCaption(caption, true), cleaned, JSON.stringify(caption));
    assert.equal(preprocessCaption(caption, false), plain, JSON.stringify(caption));
  }
});

Deno.test("cleanCaption() gives diffusers' text for odd captions, after one pass and after two", () => {
  for (const { caption, once, cleaned } of python.captions) {
    assert.equal(cleanCaption(caption), once, JSON.stringify(caption));
    assert.equal(preprocessCaption(caption, true), cleaned, JSON.stringify(caption));
  }
});

Deno.test("cleanCaption() takes any string, lone surrogates among them", () => {
  for (const text of ["\ud800", "\udc00 a \ud83d", "%", "&", "<", "&#", "<!", "<![", "</", "\0", "\u2028"]) {
    assert.equal(typeof cleanCaption(text), "string");
  }
});

Deno.test("cleanCaption() is quick for long captions without spaces", () => {
  const started = performance.now();
  for (const part of ["a", "<a", "a.", "&#", "â€", "1x", "<!--", "%C3"]) cleanCaption(part.repeat(4000 / part.length));
  assert.ok(performance.now() - started < 10_000);
});

Deno.test("htmlText() gives BeautifulSoup's text", () => {
  for (const { markup, text } of python.html) assert.equal(htmlText(markup), text, JSON.stringify(markup));
});

Deno.test("htmlText() leaves markup alone that the Python parser refuses", () => {
  assert.equal(htmlText("<b>a</b> <![foo[ b ]]>"), "<b>a</b> <![foo[ b ]]>");
});

Deno.test("fixText() gives ftfy's text for mojibake of ten encodings and for single characters", () => {
  for (const { text, fixed } of python.fix) assert.equal(fixText(text), fixed, JSON.stringify(text));
});

Deno.test("looksLikeMojibake() tells mojibake from accents, quotes and other scripts", () => {
  for (const text of ["cafÃ©", "donâ€™t", "РџСЂРёРІРµС‚", "a\x92b"]) assert.ok(looksLikeMojibake(text), text);
  for (const text of ["café", "don’t", "Привет", "naïve “déjà vu”", "¯\\_(ツ)_/¯", "25 °C ± 2"]) {
    assert.ok(!looksLikeMojibake(text), text);
  }
});

Deno.test("unescapeHtml() decodes references as Python does where browsers do not", () => {
  assert.equal(
    unescapeHtml("&amp;lt; &notit; &copy2 &foo; &#x80; &#1;&#xfffe;&#0; &#1114112;"),
    "&lt; ¬it; ©2 &foo; € \ufffd \ufffd",
  );
});

Deno.test("unquotePlus() decodes UTF-8 within runs of ASCII", () => {
  assert.equal(unquotePlus("a+b%20c%C3%A9 %C3é %zz 100%"), "a b cé \ufffdé %zz 100%");
});

Deno.test("strip() takes away Python's white space", () => {
  assert.equal(strip("\x1c\x85\u3000 a\ufeff \n"), "a\ufeff");
});

Deno.test("pattern() knows letters and digits of all scripts, also inside brackets", () => {
  assert.equal("été 123 ٣".replace(pattern(String.raw`\b\w+\b`), "x"), "x x x");
  assert.equal("a\x85\x1cb-é".replace(pattern(String.raw`[\s\-]+`), "_"), "a_b_é");
  assert.equal("a٣b".replace(pattern(String.raw`\D`), ""), "٣");
});
