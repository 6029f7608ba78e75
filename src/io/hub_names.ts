// Names that the hub and its cache use: of models, revisions and files. In and out: strings. What comes from a person is refused
// when it is no such name; what comes from a server must not lead out of the folder it is for.
import { UsageError } from "../errors.ts";

const PART = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?$/;

/**
 * Whether a text reads as the name of a model on the hub: `org/name`.
 *
 * @example
 * ```ts
 * import { isModelId } from "./hub_names.ts";
 * console.assert(isModelId("PixArt-alpha/PixArt-Sigma-XL-2-1024-MS") && !isModelId("./models/sigma"));
 * ```
 */
export function isModelId(text: string): boolean {
  const parts = text.split("/");
  return parts.length === 2 && parts.every((part) => PART.test(part)) && !/--|\.\.|\.git$/.test(text);
}

/** Whether a text is the full hash of a commit, which never comes to mean something else. */
export const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/** Whether a path in a model's repository stays inside the folder that it is joined to, on any system. */
export function isSafePath(path: string): boolean {
  // deno-lint-ignore no-control-regex -- they are what must not be there
  return !/[\\:*?"<>|\x00-\x1f]/.test(path) && path.split("/").every((part) => part !== "" && !/^\.{1,2}$/.test(part));
}

/**
 * Throws unless a text can be a branch, a tag or a commit.
 *
 * @throws {UsageError} when it cannot.
 */
export function checkRevision(revision: string): void {
  if (/^[\w.+@/-]{1,200}$/.test(revision) && isSafePath(revision) && !revision.includes("..")) return;
  throw new UsageError(
    `Cannot use revision "${revision}" as it must be a branch, a tag or a commit: git allows no such name`,
  );
}
