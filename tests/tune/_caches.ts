// A folder of caches for tests that keep tuned tiles.

import { useTiles } from "../../src/ops/tile_tables.ts";
import { device } from "../_device.ts";
import { temporaryFolder } from "../_temporary_folder.ts";

/**
 * Runs a test with a folder of caches of its own; the device has the tables of the library afterwards.
 *
 * @param test Told where tuned tiles are kept.
 */
export async function withCaches(test: (folder: string) => Promise<void>): Promise<void> {
  const before = Deno.env.get("XDG_CACHE_HOME");
  using folder = temporaryFolder();
  Deno.env.set("XDG_CACHE_HOME", `${folder.path}/caches`);
  try {
    await test(`${folder.path}/caches/pixart/tiles`);
  } finally {
    useTiles(device);
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
  }
}
