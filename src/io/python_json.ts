// JSON as Python writes it. In: the text of a config. Out: the value that it spells.
// Python's json module writes the numbers that JSON lacks as bare words, and diffusers' scheduler configs hold one:
// `"lambda_min_clipped": -Infinity`.

const NUMBERS: Record<string, number> = { NaN, Infinity, "-Infinity": -Infinity };

// A whole string, so that a word inside it is left alone, or one of the bare words.
const STRING_OR_WORD = /"[^"\\]*(?:\\[^][^"\\]*)*"|-?\bInfinity\b|\bNaN\b/g;

/**
 * Parses JSON in which the bare words NaN, Infinity and -Infinity may stand for numbers.
 * @param text The whole document.
 * @returns The value, as `JSON.parse` returns it.
 * @throws {SyntaxError} When the text is neither JSON nor this extension of it.
 * @example
 * ```ts
 * import { parsePythonJson } from "./python_json.ts";
 * const [least] = parsePythonJson("[-Infinity]") as number[];
 * console.assert(least === -Infinity);
 * ```
 */
export function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // A string that the text does not hold marks where the words stood.
    let mark = "#";
    while (text.includes(mark)) mark += "#";
    let words = 0;
    const marked = text.replace(STRING_OR_WORD, (found) => {
      if (found.startsWith('"')) return found;
      words += 1;
      return `"${mark}${found}"`;
    });
    if (words === 0) throw error;
    return JSON.parse(marked, (_key, value) => {
      return typeof value === "string" && value.startsWith(mark) ? NUMBERS[value.slice(mark.length)] : value;
    });
  }
}
