// Prompts with weights, as ComfyUI writes them: `a (red:1.3) apple`. In: a prompt. Out: its text in parts with a weight each, and
// token ids with a weight each. The tokens are those of the text without the marks.

import { UsageError } from "../errors.ts";
import { preprocessCaption } from "./caption.ts";
import type { Encoding, T5Tokenizer } from "./tokenizer.ts";

/** A part of a prompt, and how strongly it counts. */
export interface WeightedText {
  text: string;
  weight: number;
}

/** Token ids of a prompt with weights. */
export interface WeightedEncoding extends Encoding {
  /** One a token [L], 1 for the end token and padding; absent where every weight is 1. */
  weights?: Float32Array;
}

const PARENTHESES = 1.1; // what parentheses without a number multiply by
const NUMBER = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?\s*$/i;
// Characters without meaning, which stand for the borders of parts while a prompt is cleaned.
const FIRST_MARK = 0xe000, MARKS = 0x1900;
const MARK = /[\ue000-\uf8ff]/g;

/**
 * Reads a prompt's weights. `(word:1.3)` weighs 1.3 wherever it stands, `(word)` 1.1 times what is around it; parentheses with a
 * backslash before them are text, and so are brackets and parentheses without a partner.
 *
 * @returns Parts in their order; none is empty.
 * @example
 * ```ts
 * import { parsePromptWeights } from "./prompt_weights.ts";
 * const [, red] = parsePromptWeights("a (red:1.3) apple \\(fruit\\)");
 * console.assert(red.text === "red" && red.weight === 1.3);
 * ```
 */
export function parsePromptWeights(prompt: string): WeightedText[] {
  return weighed(prompt, 1).map(({ text, weight }) => ({ text: text.replace(/\\([()])/g, "$1"), weight }));
}

/** Parts of a text whose surroundings have a weight. */
function weighed(text: string, around: number): WeightedText[] {
  return topLevel(text).flatMap((item) => {
    const isGroup = item.length > 1 && item.startsWith("(") && item.endsWith(")") && !item.endsWith("\\)");
    if (!isGroup) return [{ text: item, weight: around }];
    const inside = item.slice(1, -1), colon = inside.lastIndexOf(":");
    const isNumber = colon > 0 && NUMBER.test(inside.slice(colon + 1));
    return isNumber
      ? weighed(inside.slice(0, colon), Number(inside.slice(colon + 1)))
      : weighed(inside, around * PARENTHESES);
  });
}

/** Cuts a text before and behind its outermost parentheses. Behind one that closes too much, nothing is cut. */
function topLevel(text: string): string[] {
  const cuts = [0];
  let depth = 0;
  for (const { 0: found, index } of text.matchAll(/\\[()]|[()]/g)) {
    if (found === "(" && depth++ === 0) cuts.push(index);
    else if (found === ")" && --depth === 0) cuts.push(index + 1);
  }
  return cuts.map((cut, i) => text.slice(cut, cuts[i + 1])).filter((part) => part !== "");
}

/**
 * Cleans a prompt as a whole, since a rule may look at what stands around a word, and cuts it into its parts again. Only a rule about one
 * word, such as a file name, does not see it when a border goes through that word.
 */
function cleaned(parts: readonly WeightedText[], clean: boolean): WeightedText[] {
  if (parts.length > MARKS) {
    throw new UsageError(`Cannot weigh a prompt as it must have at most ${MARKS} parts: ${parts.length}`);
  }
  const marked = parts.map(({ text }, i) => String.fromCharCode(FIRST_MARK + i) + text.replace(MARK, "")).join("");
  // A mark at the start would keep blanks and quotes behind it from being stripped.
  const text = preprocessCaption(marked.slice(1), clean);
  const marks = [...text.matchAll(MARK)];
  const borders = [{ index: -1, part: 0 }, ...marks.map(({ 0: mark, index }) => ({ index, part: mark.charCodeAt(0) }))];
  return borders.map(({ index, part }, i) => ({
    text: text.slice(index + 1, borders[i + 1]?.index),
    weight: parts[i === 0 ? 0 : part - FIRST_MARK].weight,
  }));
}

/** How many of the ids begin before the end of a text's first part; a token across the border begins there. */
function tokensBefore(tokenizer: T5Tokenizer, part: string, ids: ArrayLike<number>): number {
  const alone = tokenizer.encode(part).inputIds.slice(0, -1); // without the end token
  let count = 0;
  while (count < alone.length && alone[count] === ids[count]) count++;
  // What is left of the part is spelled by other tokens than in the whole: as many of those as its characters reach.
  const left = tokenizer.decode(alone.slice(count)).length;
  const all = Array.from(ids), start = count;
  while (count < ids.length && tokenizer.decode(all.slice(start, count)).length < left) count++;
  return count;
}

/**
 * Turns a prompt with weights into token ids, padded and cut to a length.
 *
 * @param prompt As its author wrote it.
 * @param options `clean` cleans it as the models' captions were, after its weights were read; `maxLength` is L.
 * @throws {UsageError} when it has thousands of parts.
 */
export function encodeWeighted(
  tokenizer: T5Tokenizer,
  prompt: string,
  { clean, maxLength }: { clean: boolean; maxLength: number },
): WeightedEncoding {
  const encode = (text: string) => tokenizer.encode(text, { maxLength, padding: true, truncation: true });
  const written = parsePromptWeights(prompt);
  if (written.every(({ weight }) => weight === 1)) {
    return encode(preprocessCaption(written.map(({ text }) => text).join(""), clean));
  }
  const parts = cleaned(written, clean);
  const encoding = encode(parts.map(({ text }) => text).join(""));
  const tokens = encoding.attentionMask.reduce((sum, keep) => sum + keep, 0) - 1; // the end token weighs 1
  const ids = encoding.inputIds.subarray(0, tokens);
  const weights = new Float32Array(encoding.inputIds.length).fill(1);
  let text = "", from = 0;
  for (const part of parts) {
    if (from === tokens) break; // the rest was cut off
    text += part.text;
    const to = tokensBefore(tokenizer, text, ids);
    if (to > from) weights.fill(part.weight, from, to);
    from = Math.max(from, to);
  }
  return { ...encoding, weights };
}
