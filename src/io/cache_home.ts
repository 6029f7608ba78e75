// Where a user's caches are kept. In: environment variables. Out: a folder.

import { UsageError } from "../errors.ts";

/** An environment variable; one that is empty or may not be read counts as not set. */
export function variable(name: string): string | undefined {
  try {
    return Deno.env.get(name)?.trim() || undefined;
  } catch {
    return undefined;
  }
}

/** `~` and `$NAME` in a path, as a shell would have it. */
export function expanded(path: string): string {
  return path.replace(/^~(?=$|[/\\])/, () => home()).replace(/\$\{(\w+)\}|\$(\w+)/g, (found, braced, bare) => {
    return variable(braced ?? bare) ?? found;
  });
}

function home(): string {
  const found = variable("HOME") ?? variable("USERPROFILE");
  if (found !== undefined) return found;
  throw new UsageError("Cannot find the folder of caches as HF_HOME or HOME must name one: neither is set");
}

/**
 * The folder of the user's caches: XDG_CACHE_HOME, or .cache in the home.
 *
 * @throws {UsageError} when the environment names neither.
 */
export function cacheHome(): string {
  return expanded(variable("XDG_CACHE_HOME") ?? "~/.cache");
}
