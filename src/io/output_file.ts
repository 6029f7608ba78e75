// Files and folders that are there whole or not at all. In: what to write, piece by piece. Out: a file or folder at its place once all
// of it is written; when that fails or is stopped, whatever was at its place before.

import { UsageError } from "../errors.ts";

/** A file that grows. */
export class OutputFile implements Disposable {
  #file: Deno.FsFile | undefined;
  #size = 0;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Makes a file where none is. */
  static async create(path: string): Promise<OutputFile> {
    return new OutputFile(await Deno.open(path, { write: true, createNew: true }));
  }

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  /** Adds bytes at the end. */
  async append(bytes: Uint8Array): Promise<void> {
    await writeAll(this.#open, bytes);
    this.#size += bytes.length;
  }

  /** Writes over bytes that were written before. */
  async overwrite(offset: number, bytes: Uint8Array): Promise<void> {
    const file = this.#open;
    await file.seek(offset, 0 satisfies Deno.SeekMode.Start);
    await writeAll(file, bytes);
    await file.seek(this.#size, 0 satisfies Deno.SeekMode.Start);
  }

  /** Waits until the disk has it, and closes it. */
  async finish(): Promise<void> {
    await this.#open.syncData();
    this[Symbol.dispose]();
  }

  get #open(): Deno.FsFile {
    if (!this.#file) throw new UsageError("Cannot write to a file as it must be open: it was closed");
    return this.#file;
  }

  [Symbol.dispose](): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
}

/** Whether what is at a place may be written over. */
export interface ReplaceOptions {
  overwrite?: boolean;
}

async function lookUp(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

/** A place beside another, so that a rename stays within one file system. */
const beside = (path: string, ending: string) => `${path}.${crypto.randomUUID().slice(0, 8)}.${ending}`;

const trimmed = (path: string) => path.replace(/(?<=.)[/\\]+$/, "");

/**
 * Makes sure that a file may be written.
 *
 * @throws {UsageError} when something is there and may not be written over.
 */
export async function checkFree(path: string, { overwrite = false }: ReplaceOptions): Promise<void> {
  const found = await lookUp(path);
  if (found?.isDirectory) throw new UsageError(`Cannot write ${path} as it must be a file: it is a folder`);
  if (found && !overwrite) throw taken(path);
}

/**
 * Writes a file in a place of its own, then moves it to where it belongs.
 *
 * @param write Writes all of it; when it throws, nothing is left.
 * @returns What `write` gives.
 * @throws {UsageError} when something is there and may not be written over, or nothing can be written there.
 */
export async function writeFileWhole<Result>(
  path: string,
  { overwrite = false }: ReplaceOptions,
  write: (file: OutputFile) => Promise<Result>,
): Promise<Result> {
  await checkFree(path, { overwrite });
  const part = beside(path, "part");
  try {
    using file = await creating(path, () => OutputFile.create(part));
    const result = await write(file);
    await file.finish();
    await Deno.rename(part, path);
    return result;
  } catch (error) {
    await Deno.remove(part).catch(() => {});
    throw error;
  }
}

/** What a folder of a model may hold, so that no other folder is ever put out of the way. */
const OF_MODEL =
  /^((config|model_index|scheduler_config|generation_config)\.json|.*\.(safetensors|bin|pth|gguf)(\.index.*\.json)?|transformer|vae|text_encoder|tokenizer|scheduler)$/;

/**
 * Fills a folder in a place of its own, then moves it to where it belongs.
 *
 * @param fill Given the path to fill; when it throws, nothing is left.
 * @returns What `fill` gives.
 * @throws {UsageError} when something is there and may not be written over, or is no folder of a model.
 */
export async function writeFolderWhole<Result>(
  folder: string,
  { overwrite = false }: ReplaceOptions,
  fill: (path: string) => Promise<Result>,
): Promise<Result> {
  const place = trimmed(folder);
  const names = await namesAt(place);
  if (names && names.length > 0) {
    if (!overwrite) throw taken(place);
    const strange = names.find((name) => !OF_MODEL.test(name));
    if (strange !== undefined) {
      throw new UsageError(
        `Cannot replace ${place} as it must be a folder of a model and no more: it holds ${strange}`,
      );
    }
  }
  const part = beside(place, "part");
  try {
    await creating(place, () => Deno.mkdir(part));
    const result = await fill(part);
    await exchange(part, place, names !== undefined);
    return result;
  } catch (error) {
    await Deno.remove(part, { recursive: true }).catch(() => {});
    throw error;
  }
}

async function namesAt(folder: string): Promise<string[] | undefined> {
  const found = await lookUp(folder);
  if (!found) return undefined;
  if (!found.isDirectory) throw new UsageError(`Cannot write ${folder} as it must be a folder: it is a file`);
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  return names;
}

async function exchange(part: string, place: string, isTaken: boolean): Promise<void> {
  if (!isTaken) return await Deno.rename(part, place);
  const old = beside(place, "old");
  await Deno.rename(place, old);
  try {
    await Deno.rename(part, place);
  } catch (error) {
    await Deno.rename(old, place);
    throw error;
  }
  await Deno.remove(old, { recursive: true });
}

function taken(path: string): UsageError {
  return new UsageError(
    `Cannot write ${path} as nothing is overwritten unasked: something is there; choose another name or add --overwrite`,
  );
}

async function creating<Result>(path: string, create: () => Promise<Result>): Promise<Result> {
  try {
    return await create();
  } catch (error) {
    const state = error instanceof Deno.errors.NotFound ? "its folder does not exist" : (error as Error).message;
    throw new UsageError(`Cannot write ${path}: ${state}`, { cause: error });
  }
}
