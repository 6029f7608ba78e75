// Names of a stranger's file in messages. In: any text. Out: one line of bounded length, without control signs.

/**
 * Makes text fit for a message.
 *
 * @param most How many signs are kept.
 * @example
 * ```ts
 * import { printable } from "./printable.ts";
 * console.assert(printable("a\nb") === "a?b");
 * ```
 */
export function printable(text: string, most = 120): string {
  // deno-lint-ignore no-control-regex
  const plain = text.slice(0, most).replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, "?");
  return text.length > most ? `${plain}...` : plain;
}
