// Numbers of bytes in words. In: a number, or `4GB`. Out: the other.

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** A number of bytes in words: `1.3 GB`. */
export function formatBytes(bytes: number): string {
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 4);
  return power === 0 ? `${Math.round(bytes)} B` : `${(bytes / 1000 ** power).toFixed(1)} ${"_kMGT"[power]}B`;
}

/**
 * A number of bytes from words: `4GB`, `512 MiB`, `1.5gb`, `4000000000`.
 *
 * @returns Whole bytes; nothing where the words are no number of bytes above 0.
 * @example
 * ```ts
 * import { parseBytes } from "./byte_words.ts";
 * console.assert(parseBytes("4GB") === 4e9 && parseBytes("4 GiB") === 2 ** 32 && parseBytes("four") === undefined);
 * ```
 */
export function parseBytes(words: string): number | undefined {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/.exec(words.trim().toLowerCase()) ?? [];
  if (digits === undefined || !Object.hasOwn(UNITS, unit)) return undefined;
  const bytes = Math.floor(Number(digits) * UNITS[unit]);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}
