// The normalisation that a sentencepiece model carries with it. In: the model's precompiled_charsmap and any text. Out: the
// text as the vocabulary spells it (NFKC with sentencepiece's own exceptions, spaces as U+2581).
//
// The charsmap is a double-array trie over UTF-8 (the layout of the Darts-clone library, units of 32 bits) followed by the
// replacement strings, each ended by a zero byte. Bytes, not code points, are therefore the unit of this file.
import { WeightsError } from "../errors.ts";

/** What a model says about spaces. */
export interface WhitespaceRules {
  /** Runs of spaces become one, and those at both ends go. */
  removeExtraWhitespaces: boolean;
  /** A space is put before the text, so that a word is spelt alike at the start and inside of a sentence. */
  addDummyPrefix: boolean;
  /** Spaces become U+2581. */
  escapeWhitespaces: boolean;
  /** The space that addDummyPrefix adds stands behind the text. */
  treatWhitespaceAsSuffix: boolean;
}

const SPACE = 0x20;
const SPACE_SYMBOL = [0xe2, 0x96, 0x81];
const REPLACEMENT_CHARACTER = Uint8Array.of(0xef, 0xbf, 0xbd);

/** Normalises text by a precompiled charsmap. */
export class Charsmap {
  readonly #units: Uint32Array;
  readonly #replacements: Uint8Array;

  /**
   * @param blob The bytes of `precompiled_charsmap`; none at all means that text stays as it is.
   * @param name The file, for messages.
   * @throws {WeightsError} when the blob's own sizes contradict each other.
   */
  constructor(blob: Uint8Array, name: string) {
    if (blob.length === 0) {
      this.#units = new Uint32Array(0);
      this.#replacements = blob;
      return;
    }
    const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
    const trieSize = blob.length >= 4 ? view.getUint32(0, true) : -1;
    if (trieSize < 0 || trieSize % 4 !== 0 || 4 + trieSize > blob.length) {
      throw new WeightsError(
        `Cannot read the charsmap [${blob.length} bytes] of ${name} as a trie and its strings: the trie claims ${trieSize} bytes`,
      );
    }
    this.#units = new Uint32Array(trieSize / 4);
    for (let i = 0; i < this.#units.length; i++) this.#units[i] = view.getUint32(4 + 4 * i, true);
    this.#replacements = blob.subarray(4 + trieSize);
    if (blob[blob.length - 1] !== 0 || this.#replacements.length === 0) {
      throw new WeightsError(
        `Cannot read the charsmap [${blob.length} bytes] of ${name} as strings that zero bytes end: the last has none`,
      );
    }
  }

  /**
   * Normalises a text.
   *
   * @param text Any text; a lone surrogate counts as U+FFFD.
   * @param rules What happens to spaces.
   * @param keep The length in bytes of what stands at an offset and must stay as it is (a user-defined piece), 0 for none.
   */
  normalize(text: string, rules: WhitespaceRules, keep?: (bytes: Uint8Array, offset: number) => number): string {
    const input = new TextEncoder().encode(text);
    const output: number[] = [];
    const spaceSymbol = rules.escapeWhitespaces ? SPACE_SYMBOL : [SPACE];
    let offset = 0;
    const next = (): Uint8Array => {
      const kept = keep?.(input, offset) ?? 0;
      if (kept > 0) return input.subarray(offset, offset += kept);
      const [replacement, length] = this.#longestMatch(input, offset);
      offset += length;
      return replacement;
    };

    if (rules.removeExtraWhitespaces) {
      for (let before = 0; offset < input.length; before = offset) {
        const chunk = next();
        if (chunk.length === 1 && chunk[0] === SPACE) continue;
        offset = before;
        break;
      }
    }
    if (offset === input.length) return "";
    if (rules.addDummyPrefix && !rules.treatWhitespaceAsSuffix) output.push(...spaceSymbol);

    let afterSpace = rules.removeExtraWhitespaces;
    while (offset < input.length) {
      const chunk = next();
      let start = 0;
      while (afterSpace && chunk[start] === SPACE) start++;
      for (let i = start; i < chunk.length; i++) {
        if (chunk[i] === SPACE) output.push(...spaceSymbol);
        else output.push(chunk[i]);
      }
      if (start < chunk.length) afterSpace = chunk[chunk.length - 1] === SPACE;
      if (!rules.removeExtraWhitespaces) afterSpace = false;
    }
    if (rules.removeExtraWhitespaces) { while (endsWith(output, spaceSymbol)) output.length -= spaceSymbol.length; }
    if (rules.addDummyPrefix && rules.treatWhitespaceAsSuffix) output.push(...spaceSymbol);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(output));
  }

  /** What the longest key of the trie at `offset` is replaced by, or the one character there, and how many bytes it takes. */
  #longestMatch(input: Uint8Array, offset: number): [Uint8Array, number] {
    const units = this.#units;
    let best = 0, value = 0;
    let node = units.length > 0 ? unitOffset(units[0]) : 0;
    for (let i = offset; i < input.length && units.length > 0; i++) {
      node ^= input[i];
      // A broken trie may point anywhere: outside it nothing matches.
      const unit = units[node];
      if (unit === undefined || (unit & 0x800000ff) !== input[i]) break;
      node ^= unitOffset(unit);
      if ((unit & 0x100) !== 0) {
        best = i + 1 - offset;
        value = (units[node] ?? 0) & 0x7fffffff;
      }
    }
    if (best > 0) {
      const end = this.#replacements.indexOf(0, value);
      return [this.#replacements.subarray(value, Math.max(value, end)), best];
    }
    const length = utf8Length(input[offset]);
    if (length === 0) return [REPLACEMENT_CHARACTER, 1];
    return [input.subarray(offset, offset + length), length];
  }
}

function unitOffset(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

function utf8Length(lead: number): number {
  if (lead < 0x80) return 1;
  if (lead < 0xc0) return 0;
  return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

function endsWith(bytes: number[], tail: number[]): boolean {
  return bytes.length >= tail.length && tail.every((byte, i) => bytes[bytes.length - tail.length + i] === byte);
}
