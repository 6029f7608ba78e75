// Where things are: paths of the file system and URLs, handled by the same functions. In and out: strings.
import { UsageError } from "../errors.ts";

/** Whether an address is fetched; all others are files. */
export const isRemote = (address: string): boolean => /^(https?|data|blob):/i.test(address);

const isUrl = (address: string) => /^(https?|data|blob|file):/i.test(address);

/**
 * Joins names to a folder, which may be a path or a URL.
 *
 * @example
 * ```ts
 * import { joinPath } from "./byte_source.ts";
 * console.assert(joinPath("models/", "vae", "config.json") === "models/vae/config.json");
 * console.assert(joinPath("https://a.b/m?k=1", "config.json") === "https://a.b/m/config.json?k=1");
 * ```
 */
export function joinPath(folder: string | URL, ...names: string[]): string {
  const address = String(folder);
  const parts = names.flatMap((name) => name.split("/")).filter((part) => part !== "" && part !== ".");
  if (!isUrl(address)) {
    const base = address.replace(/[/\\]+$/, "");
    return address === "" ? parts.join("/") : [base, ...parts].join("/") || "/";
  }
  const url = new URL(address);
  url.pathname = [url.pathname.replace(/\/+$/, ""), ...parts.map(encodeURIComponent)].join("/");
  return url.href;
}

/** The folder that a path or a URL lies in, in a form that joinPath takes. */
export function folderOf(pathOrUrl: string | URL): string {
  const address = String(pathOrUrl);
  if (isUrl(address)) {
    const url = new URL(address);
    url.pathname = url.pathname.replace(/[^/]*$/, "");
    return url.href;
  }
  const cut = Math.max(address.lastIndexOf("/"), address.lastIndexOf("\\"));
  return cut < 0 ? "." : address.slice(0, Math.max(cut, 1));
}

/** The address as a string that `isRemote` tells apart; a UsageError for a file where the runtime has none. */
export function addressOf(pathOrUrl: string | URL): string {
  const address = String(pathOrUrl);
  if (isRemote(address) || typeof globalThis.Deno !== "undefined") return address;
  const base = globalThis.location?.href;
  if (isUrl(address) || base === undefined) {
    throw new UsageError(`Cannot open ${address} as a file: this runtime has no files, so give an http(s) URL`);
  }
  return new URL(address, base).href;
}

/** A path or `file:` URL as Deno's file functions take it. */
export function pathOf(address: string): string | URL {
  return isUrl(address) ? new URL(address) : address;
}

/** The address as messages show it: without a query, which may hold a signature, and with data: cut short. */
export function shown(address: string): string {
  if (!isRemote(address)) return address;
  return address.startsWith("data:") ? `${address.slice(0, 32)}...` : address.replace(/[?#].*$/s, "");
}
