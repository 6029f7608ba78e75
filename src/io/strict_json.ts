// JSON of a stranger's file. In: bytes. Out: what JSON.parse gives, after a check of what JSON.parse lets pass: a key that
// stands twice in one object (the last would win in silence) and nesting deeper than the format has.

/**
 * Parses bytes as UTF-8 JSON.
 *
 * @param maxDepth How deep objects and arrays may nest.
 * @throws {SyntaxError} that says what is wrong; the caller adds the file's name.
 */
export function parseStrictJson(bytes: Uint8Array, maxDepth: number): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new SyntaxError("it is not UTF-8 text");
  }
  checkKeys(text, maxDepth);
  return JSON.parse(text);
}

/** Whether a value of JSON is an object, which arrays and null are not. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

// Only brackets, strings and colons matter here. Text that is not JSON at all may pass: JSON.parse comes after.
function checkKeys(text: string, maxDepth: number): void {
  const seen: Set<string>[] = [];
  let last = "";
  for (let i = 0; i < text.length; i++) {
    const sign = text[i];
    if (sign === '"') {
      const end = closingQuote(text, i);
      last = text.slice(i, end + 1);
      i = end;
    } else if (sign === "{" || sign === "[") {
      seen.push(new Set());
      if (seen.length > maxDepth) throw new SyntaxError(`it nests deeper than ${maxDepth} levels, at character ${i}`);
    } else if (sign === "}" || sign === "]") {
      seen.pop();
    } else if (sign === ":") {
      const key: unknown = JSON.parse(last);
      const keys = seen.at(-1);
      if (keys?.has(key as string)) throw new SyntaxError(`the key ${last.slice(0, 120)} stands twice in one object`);
      keys?.add(key as string);
    }
  }
}

function closingQuote(text: string, open: number): number {
  for (let i = open + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === '"') return i;
  }
  throw new SyntaxError(`a string that opens at character ${open} does not end`);
}
