// Tables of tiles that were measured on an adapter of this machine, kept in the user's cache. In: a device, tables. Out: a file for each
// adapter; the tables of the one that a device is of, unless its driver or this library's kernels have changed since.

import { ConfigError, UsageError } from "../errors.ts";
import type { Device } from "../gpu/device.ts";
import { joinPath } from "../io/address.ts";
import { cacheHome } from "../io/cache_home.ts";
import { writeFileWhole } from "../io/output_file.ts";
import { readTileTables, type TileTables, useTiles } from "../ops/tile_tables.ts";
import { tiledKernelTexts } from "../ops/tiled_kernels.ts";

/** What was kept of an adapter. */
export interface TunedTiles {
  /** The file. */
  path: string;
  /** When it was measured, ISO 8601. */
  date: string;
  tables: TileTables;
}

/** What an adapter is known by. */
type AdapterName = Record<"vendor" | "architecture" | "device" | "description" | "backend", string>;

/** The layout of the file. */
interface TunedFile {
  adapter: AdapterName;
  kernels: string;
  date: string;
  tables: unknown;
}

function nameOf(device: Device): AdapterName {
  const { vendor, architecture, device: model, description } = device.adapter.info;
  return { vendor, architecture, device: model, description, backend: device.entry.backend };
}

/** Sixteen digits that stand for a text. */
async function digest(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(bytes, 0, 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

let kernels: Promise<string> | undefined;
const kernelsDigest = () => kernels ??= digest(tiledKernelTexts().join("\0"));

/** @param caches The folder of the user's caches. */
async function placeOf(adapter: AdapterName, caches: string): Promise<{ folder: string; path: string }> {
  const folder = joinPath(caches, "pixart", "tiles");
  return { folder, path: joinPath(folder, `${await digest(JSON.stringify(adapter))}.json`) };
}

/** The folder of the user's caches; a user without one has kept nothing. */
function cachesIfAny(): string | undefined {
  try {
    return cacheHome();
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

/**
 * Keeps tables for the adapter of a device.
 *
 * @returns The file.
 * @throws {UsageError} when the environment names no folder for caches, or nothing can be written there.
 */
export async function saveTunedTiles(device: Device, tables: TileTables): Promise<string> {
  const adapter = nameOf(device), { folder, path } = await placeOf(adapter, cacheHome());
  const file: TunedFile = { adapter, kernels: await kernelsDigest(), date: new Date().toISOString(), tables };
  await Deno.mkdir(folder, { recursive: true });
  const bytes = new TextEncoder().encode(JSON.stringify(file) + "\n");
  await writeFileWhole(path, { overwrite: true }, (out) => out.append(bytes));
  return path;
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw new ConfigError(
      `Cannot use the tuned tiles of ${path} as the file must be readable: ${(error as Error).message}`,
    );
  }
}

/**
 * Finds what was kept for the adapter of a device.
 *
 * @returns Undefined where nothing was, or for other kernels than these.
 * @throws {ConfigError} when the file is damaged, or another's.
 */
export async function findTunedTiles(device: Device): Promise<TunedTiles | undefined> {
  const caches = cachesIfAny();
  if (caches === undefined) return undefined;
  const adapter = nameOf(device), { path } = await placeOf(adapter, caches);
  const text = await textOf(path);
  if (text === undefined) return undefined;
  let file: Partial<TunedFile>;
  try {
    file = JSON.parse(text) ?? {};
    if (JSON.stringify(file.adapter) !== JSON.stringify(adapter)) throw new Error("it is of another adapter");
    if (file.kernels !== await kernelsDigest()) return undefined;
    if (typeof file.date !== "string") throw new Error("it has no date");
    return { path, date: file.date, tables: readTileTables(file.tables) };
  } catch (error) {
    const state = (error as Error).message;
    throw new ConfigError(
      `Cannot use the tuned tiles of ${path} as the file must be whole: ${state}; run ./pixart doctor --tune or --forget`,
    );
  }
}

/**
 * Chooses a device's kernels by what was kept for its adapter.
 *
 * @returns What was found; undefined where the tables of this library stay.
 * @throws {ConfigError} when the file is damaged; the tables of this library stay.
 */
export async function useTunedTiles(device: Device): Promise<TunedTiles | undefined> {
  const found = await findTunedTiles(device);
  if (found) useTiles(device, found.tables);
  return found;
}

/**
 * Removes what was kept for the adapter of a device.
 *
 * @returns Whether there was anything.
 */
export async function forgetTunedTiles(device: Device): Promise<boolean> {
  const caches = cachesIfAny();
  if (caches === undefined) return false;
  const { path } = await placeOf(nameOf(device), caches);
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
