// What disks answer when a model is stored. In: an error of a file operation. Out: a DownloadError of one sentence, or the error
// itself where it is none of the known ones.
import { DownloadError } from "../errors.ts";

const STATES: [codes: string[], state: string][] = [
  [
    ["ENOSPC", "EDQUOT"],
    "the disk is full; make room or choose another folder with HF_HUB_CACHE, and what came is kept",
  ],
  [["EACCES", "EPERM", "EROFS"], "it may not be written; choose another folder with HF_HUB_CACHE"],
  [["ENOTDIR", "EEXIST"], "a file stands where a folder must be"],
];

/**
 * Puts an error of the file system in words.
 *
 * @param doing What failed: `store model.safetensors`.
 * @param folder The folder of the cache.
 */
export function diskError(error: unknown, doing: string, folder: string): unknown {
  const code = error instanceof Error ? (error as Error & { code?: string }).code : undefined;
  const state = STATES.find(([codes]) => code !== undefined && codes.includes(code))?.[1];
  if (state === undefined) return error;
  return new DownloadError(`Cannot ${doing} as ${folder} must take it: ${state}`, { cause: error });
}

/** Whether an error says that nothing is there. */
export function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}

/** The size of a file in bytes, through links; undefined where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const { isFile, size } = await Deno.stat(path);
    return isFile ? size : undefined;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
