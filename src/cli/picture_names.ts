// Names of pictures by a template. In: `{line}-{slug}-{seed}` and what is known of a picture. Out: a file name without its ending.

import { UsageError } from "../errors.ts";

const LONGEST_SLUG = 80; // characters
// A name may have 255 bytes; a number, an ending and a suffix while the file grows want their share.
const LONGEST_NAME_BYTES = 220;

/** What a template can speak of. */
export interface NameFacts {
  prompt: string;
  seed: number;
  /** The line of the batch file, padded so that files sort as lines do. */
  line?: string;
  steps: number;
  guidance: number;
}

/** As many characters of a text as fit so many bytes. */
function cutToBytes(text: string, most: number): string {
  let cut = "", bytes = 0;
  for (const character of text) {
    bytes += new TextEncoder().encode(character).length;
    if (bytes > most) break;
    cut += character;
  }
  return cut;
}

/**
 * The prompt as a part of a file name: letters and digits of any script, all else as dashes.
 *
 * @example
 * ```ts
 * import { slugOf } from "./picture_names.ts";
 * console.assert(slugOf("A red apple, 3/4 view!") === "a-red-apple-3-4-view");
 * ```
 */
export function slugOf(prompt: string): string {
  const words = prompt.normalize("NFC").toLowerCase().replace(/[^\p{L}\p{M}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
  return cutToBytes([...words].slice(0, LONGEST_SLUG).join(""), LONGEST_NAME_BYTES - 40).replace(/-$/, "") || "picture";
}

/**
 * A name by a template. `{prompt[:100]}` is the first 100 characters of the prompt, as the original names its pictures; what no
 * file name can have becomes an underscore.
 *
 * @param template Text with `{prompt}`, `{slug}`, `{seed}`, `{line}`, `{steps}`, `{guidance}`, each also with `[:n]`.
 * @throws {UsageError} when it speaks of something else, or gives an empty name.
 * @example
 * ```ts
 * import { pictureName } from "./picture_names.ts";
 * const facts = { prompt: "a cat", seed: 7, steps: 20, guidance: 4.5 };
 * console.assert(pictureName("{prompt[:100]}", facts) === "a cat" && pictureName("{slug}-{seed}", facts) === "a-cat-7");
 * ```
 */
export function pictureName(template: string, facts: NameFacts): string {
  const known: Record<string, string | undefined> = {
    prompt: facts.prompt,
    slug: slugOf(facts.prompt),
    seed: `${facts.seed}`,
    line: facts.line,
    steps: `${facts.steps}`,
    guidance: `${facts.guidance}`,
  };
  const filled = template.replace(/\{([^{}]*)\}/g, (whole, inside: string) => {
    const [, key, count] = /^(\w+)(?:\[:(\d+)\])?$/.exec(inside) ?? [];
    const value = key !== undefined && Object.hasOwn(known, key) ? known[key] : undefined;
    if (value === undefined) {
      const names = Object.keys(known).filter((name) => known[name] !== undefined).map((name) => `{${name}}`);
      throw new UsageError(`Cannot name pictures ${template} as it can speak of ${names.join(" ")}: not of ${whole}`);
    }
    return count === undefined ? value : [...value].slice(0, Number(count)).join("");
  });
  // deno-lint-ignore no-control-regex -- control characters are what must go
  const safe = filled.replace(/[\u0000-\u001f\u007f/\\:*?"<>|]/g, "_").trim().replace(/^\.+|\.+$/g, "_");
  const name = cutToBytes(safe, LONGEST_NAME_BYTES).trim();
  if (name === "") throw new UsageError(`Cannot name pictures ${template} as a name must have characters: it is empty`);
  return name;
}
