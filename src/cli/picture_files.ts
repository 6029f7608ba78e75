// Where pictures go. In: --out, a name, how many. Out: as many file names, none of which is taken, and the pictures in them. Names
// are settled before any work is done, so that no work is lost for want of a name.

import { dirname, extname, join } from "node:path";
import { UsageError } from "../errors.ts";
import type { Image } from "../io/image.ts";

/** What decides the names. */
export interface NamingOptions {
  /** A file, or a folder when it ends in / or is one; the current folder when not given. */
  out?: string;
  /** What pictures in a folder are called, without the ending. */
  name: string;
  count: number;
  overwrite: boolean;
  /** Leaves files that are there as they are, and makes the others only. */
  resume?: boolean;
}

/** Settled names, and how to write to them. */
export interface PictureFiles {
  paths: readonly string[];
  /** With `resume`: whether all of them are there. */
  isDone: boolean;
  /**
   * Writes a picture under its name, or under the next free one where its own was taken meanwhile.
   *
   * @returns The path it has.
   */
  save(image: Image, index: number): Promise<string>;
}

async function lookUp(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw new UsageError(`Cannot look at ${path} as it must be readable: ${(error as Error).message}`);
  }
}

/** Writes and removes an empty file in a folder, or in the one that it will be made in. */
async function checkWritable(folder: string): Promise<void> {
  let existing = folder, found = await lookUp(existing);
  while (!found && dirname(existing) !== existing) found = await lookUp(existing = dirname(existing));
  if (!found?.isDirectory) {
    throw new UsageError(`Cannot save pictures in ${folder} as it must be a folder: ${existing} is none`);
  }
  const probe = join(existing, `.${crypto.randomUUID().slice(0, 8)}.part`);
  try {
    await Deno.writeFile(probe, new Uint8Array(), { createNew: true });
    await Deno.remove(probe);
  } catch (error) {
    throw new UsageError(
      `Cannot save pictures in ${folder} as it must be writable: ${
        (error as Error).message
      }; choose another with --out`,
      { cause: error },
    );
  }
}

/** `apple.png` and 2 as `apple-2.png`. */
function numbered(path: string, number: number): string {
  const extension = extname(path);
  return `${path.slice(0, path.length - extension.length)}-${number}${extension}`;
}

/** Several pictures have numbers from 1; a single one has none. */
const inOrder = (path: string, count: number) =>
  count === 1 ? [path] : Array.from({ length: count }, (_, index) => numbered(path, index + 1));

async function anyTaken(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await lookUp(path)) return path;
}

/** The first `count` numbers in a row that are free. */
async function freeInOrder(path: string, count: number): Promise<string[]> {
  const plain = inOrder(path, count);
  if (!await anyTaken(plain)) return plain;
  for (let first = 2;; first++) {
    const paths = Array.from({ length: count }, (_, index) => numbered(path, first + index));
    if (!await anyTaken(paths)) return paths;
  }
}

/**
 * Settles where pictures go, before they are made.
 *
 * @throws {UsageError} when a name that was asked for is taken, or nothing can be written there.
 */
export async function settlePictureFiles(options: NamingOptions): Promise<PictureFiles> {
  const { out = ".", name, count, overwrite, resume = false } = options;
  const isFolder = /[/\\]$/.test(out) || (await lookUp(out))?.isDirectory === true;
  const path = isFolder ? join(out, `${name}.png`) : out;
  const folder = dirname(path);
  if (!isFolder && extname(path).toLowerCase() !== ".png") {
    throw new UsageError(
      `Cannot save to ${out} as pictures are PNG files: give --out a name that ends in .png, or a folder that ends in /`,
    );
  }
  if (!isFolder && !await lookUp(folder)) {
    throw new UsageError(`Cannot save to ${out} as its folder must exist: ${folder} does not; make it first`);
  }
  await checkWritable(folder);
  const named = inOrder(path, count);
  if (!isFolder && !overwrite && !resume) {
    const taken = await anyTaken(named);
    if (taken) {
      throw new UsageError(
        `Cannot save to ${taken} as nothing is overwritten unasked: a file is there; choose another name or add --overwrite`,
      );
    }
  }
  if (overwrite) {
    for (const one of named) {
      if ((await lookUp(one))?.isDirectory) {
        throw new UsageError(`Cannot save to ${one} as only files can be overwritten: it is a folder`);
      }
    }
  }
  const paths = isFolder && !overwrite && !resume ? await freeInOrder(path, count) : named;
  const found = resume && !overwrite ? await Promise.all(paths.map(lookUp)) : [];
  return {
    paths,
    isDone: found.length > 0 && found.every((file) => file !== undefined),
    async save(image, index) {
      if (found[index]) return paths[index];
      await Deno.mkdir(folder, { recursive: true });
      for (let place = paths[index];; place = (await freeInOrder(paths[index], 1))[0]) {
        try {
          await image.save(place, { overwrite });
          return place;
        } catch (error) {
          if (!await lookUp(place) || overwrite) throw error;
        }
      }
    },
  };
}
