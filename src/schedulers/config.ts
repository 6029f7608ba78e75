// Reads the options of a scheduler. In: an object with names in camelCase, or as diffusers' JSON has them, in snake_case.
// Out: every option with a value of the right kind, and the names of the keys that are none of them.

import { ConfigError } from "../errors.ts";

/** One option: what it is when nothing is given, which values it takes, and in words which those are. */
export interface Option<T> {
  fallback: T;
  rule: string;
  /** The value as this option holds it; undefined when it takes no such value. */
  read(value: unknown): T | undefined;
}

/** The values that a table of options holds. */
export type OptionValues<S> = { [K in keyof S]: S[K] extends Option<infer T> ? T : never };

/** true or false; Python's None counts as false. */
export function flag(fallback: boolean): Option<boolean> {
  const read = (value: unknown) => value === null ? false : typeof value === "boolean" ? value : undefined;
  return { fallback, rule: "true or false", read };
}

/** A finite number for which `holds` is true; `rule` says what that asks for. */
export function number(
  fallback: number,
  rule = "a finite number",
  holds: (value: number) => boolean = () => true,
): Option<number> {
  const read = (value: unknown) => Number.isFinite(value) && holds(value as number) ? value as number : undefined;
  return { fallback, rule, read };
}

/** A number that may be minus infinity; null is minus infinity, as `JSON.stringify` writes it so. */
export function lowerBound(fallback: number): Option<number> {
  const read = (value: unknown) => {
    if (value === null) return -Infinity;
    return Number.isFinite(value) || value === -Infinity ? value as number : undefined;
  };
  return { fallback, rule: "a finite number or -Infinity", read };
}

/** One of some words; `aliases` names other words that mean one of them. */
export function choice<const T extends string>(
  values: readonly T[],
  fallback: NoInfer<T>,
  aliases: Record<string, NoInfer<T>> = {},
): Option<T> {
  const read = (value: unknown) => {
    if (typeof value === "string" && Object.hasOwn(aliases, value)) return aliases[value];
    return values.find((word) => word === value);
  };
  return { fallback, rule: `one of ${values.map((word) => JSON.stringify(word)).join(", ")}`, read };
}

/** An option that may also be null, and is when nothing is given. */
export function nullable<T>(option: Option<T>): Option<T | null> {
  return {
    fallback: null,
    rule: `${option.rule}, or null`,
    read: (value) => value === null ? null : option.read(value),
  };
}

/** A list of finite numbers. */
export const numbers: Option<readonly number[]> = {
  fallback: [],
  rule: "a list of finite numbers",
  read: (value) => Array.isArray(value) && value.length > 0 && value.every(Number.isFinite) ? [...value] : undefined,
};

/**
 * Reads the options of a scheduler.
 * @param owner The scheduler's name, for messages.
 * @param table The options that it has, by their names in camelCase.
 * @param given What was given, with names in camelCase or snake_case. A name with a leading underscore is a note of
 * diffusers, not an option, and undefined counts as not given.
 * @returns The value of every option, and the names that are no option of this scheduler, as they were spelled.
 * @throws {ConfigError} When `given` is not an object, or an option does not take its value.
 */
export function readOptions<S extends Record<string, Option<unknown>>>(
  owner: string,
  table: S,
  given: unknown,
): { values: OptionValues<S>; unknownKeys: string[] } {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new ConfigError(`Cannot make ${owner} as its config must be an object: ${spell(given)}`);
  }
  const values = Object.fromEntries(Object.entries(table).map(([name, option]) => [name, option.fallback]));
  const unknownKeys: string[] = [];
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith("_") || value === undefined) continue;
    const name = key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    if (!Object.hasOwn(table, name)) {
      unknownKeys.push(key);
      continue;
    }
    const read = table[name].read(value);
    if (read === undefined) {
      throw new ConfigError(`Cannot make ${owner} as ${key} must be ${table[name].rule}: ${spell(value)}`);
    }
    values[name] = read;
  }
  return { values: values as OptionValues<S>, unknownKeys };
}

function spell(value: unknown): string {
  if (typeof value === "number" || typeof value === "function") return String(value);
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
