// Tiles as this very device likes them best. In: a device, a time. Out: tables, in use from then on.

import type { Device } from "../gpu/device.ts";
import { useTiles } from "../ops/tile_tables.ts";
import { PIXART_WORKS } from "./pixart_works.ts";
import { searchTiles, type TileRow, type TileSearch } from "./search.ts";

/** How to tune. */
export interface TuneOptions {
  /** Seconds after which no further work is measured; a minute when not given. */
  limit?: number;
  signal?: AbortSignal;
  /** Told what was found at each piece of work, and how much of all is done. */
  onProgress?(rows: readonly TileRow[], done: number, total: number): void;
}

const LIMIT = 60;

/**
 * Measures the tiles that kernels may have on a device, at the shapes of PixArt, and chooses kernels by that from now on. Every
 * result is checked; a tile replaces the one of before only where it is faster by more than timing's spread.
 *
 * @param device What is measured; nothing else should run on it meanwhile.
 * @returns What was found. `JSON.stringify(tables)` keeps it, `useTiles(device, readTileTables(JSON.parse(text)))` takes it up again.
 * @throws what `signal` is aborted with; the device's tables are then as before.
 * @example
 * ```ts
 * import { Device, readTileTables, tuneTiles, useTiles } from "@pixart/webgpu";
 * using device = await Device.open();
 * const { tables } = await tuneTiles(device, { limit: 0.001 });
 * useTiles(device, readTileTables(JSON.parse(JSON.stringify(tables))));
 * ```
 */
export async function tuneTiles(
  device: Device,
  { limit = LIMIT, signal, onProgress }: TuneOptions = {},
): Promise<TileSearch> {
  const works = PIXART_WORKS.filter(({ large }) => !device.software || !large);
  const { description, entry } = device;
  const run = { device: description, backend: entry.backend, date: new Date().toISOString().slice(0, 10) };
  const result = await searchTiles(device, works, {
    run,
    limit,
    signal,
    onWork: (rows, _tables, done, total) => onProgress?.(rows, done, total),
  });
  useTiles(device, result.tables);
  return result;
}
